{{/* Active-last upgrades: the strategy of the StatefulSet, and what the hook Job needs. */}}

{{/* OnDelete leaves the order of the restarts to the Job. */}}
{{- define "stan-ft.updateStrategy" -}}
{{- if eq .Values.rollout.strategy "RollingUpdate" -}}
type: RollingUpdate
rollingUpdate:
  partition: {{ int64 .Values.rollout.partition }}
{{- else -}}
type: OnDelete
{{- end -}}
{{- end -}}

{{- define "stan-ft.rollout.name" -}}
{{- printf "%s-rollout" (include "stan-ft.fullname" .) -}}
{{- end -}}

{{/* metadata of an object that lives only while the Job runs: context, weight. No selector label, or the Services would find the pod. */}}
{{- define "stan-ft.rollout.metadata" -}}
{{- $events := list "post-upgrade" "post-rollback" -}}
{{- if .context.Values.rollout.onInstall -}}
{{- $events = prepend $events "post-install" -}}
{{- end -}}
name: {{ include "stan-ft.rollout.name" .context }}
labels:
  {{- include "stan-ft.componentLabels" (dict "context" .context "component" "rollout") | nindent 2 }}
annotations:
  {{- with .context.Values.commonAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  helm.sh/hook: {{ join "," $events }}
  helm.sh/hook-weight: {{ quote .weight }}
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* Names of the pods, so that the roles of hooks reach these and no others. */}}
{{- define "stan-ft.podNames" -}}
{{- range $ordinal := until (int .Values.replicas) }}
- {{ include "stan-ft.fullname" $ }}-{{ $ordinal }}
{{- end }}
{{- end -}}

{{/* Routes that each server must have: one to every peer, none where NATS runs elsewhere. */}}
{{- define "stan-ft.peers" -}}
{{- if .Values.nats.external.url }}0{{ else }}{{ sub (int .Values.replicas) 1 }}{{ end -}}
{{- end -}}

{{/* Security of the pods of hooks and tests, which need no volume and so no particular user. */}}
{{- define "stan-ft.hook.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end -}}
{{- define "stan-ft.hook.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop:
    - ALL
{{- end -}}
