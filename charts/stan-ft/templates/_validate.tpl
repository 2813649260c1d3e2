{{/* What a schema cannot say: combinations that would lose messages or never start. Each message names the value and the remedy. */}}
{{- define "stan-ft.validate" -}}
{{- $problems := list -}}
{{- $replicas := int .Values.replicas -}}
{{- if and (lt $replicas 2) (not .Values.allowSingleReplica) -}}
{{- $problems = append $problems "replicas: one server has no standby to take over. Set replicas to 2 or more, or accept that with allowSingleReplica=true." -}}
{{- end -}}
{{- if eq .Values.store.type "file" -}}
{{- if not (hasPrefix (printf "%s/" (trimSuffix "/" .Values.persistence.mountPath)) .Values.store.dir) -}}
{{- $problems = append $problems (printf "store.dir: %s is not below persistence.mountPath %s, so the store would not be on the shared volume. Set it to a directory such as %s/store." .Values.store.dir .Values.persistence.mountPath (trimSuffix "/" .Values.persistence.mountPath)) -}}
{{- end -}}
{{- end -}}
{{- with $problems -}}
{{- fail (printf "\n\nThese values cannot work:\n  - %s\n" (join "\n  - " .)) -}}
{{- end -}}
{{- end -}}
