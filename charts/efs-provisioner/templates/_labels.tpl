{{- /* Labels and annotations of the objects. */ -}}

{{- /* The recipe's selector; it cannot change once the Deployment exists. */ -}}
{{- define "efs-provisioner.selectorLabels" -}}
app: {{ include "efs-provisioner.fullname" . | toYaml }}
{{- end -}}

{{- /* Labels and annotations of an object: list of root context, its own annotations, its own labels (dicts or nil). */ -}}
{{- define "efs-provisioner.metadata" -}}
{{- $root := index . 0 -}}
{{- $annotations := merge (deepCopy (default dict (index . 1))) $root.Values.commonAnnotations -}}
{{- $labels := merge (deepCopy (default dict (index . 2))) $root.Values.commonLabels -}}
labels:
  app: {{ include "efs-provisioner.fullname" $root | toYaml }}
  app.kubernetes.io/name: {{ include "efs-provisioner.name" $root | toYaml }}
  app.kubernetes.io/instance: {{ $root.Release.Name | toYaml }}
  app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
  app.kubernetes.io/component: storage
  app.kubernetes.io/managed-by: {{ $root.Release.Service }}
  helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $labels }}
{{- toYaml . | nindent 2 }}
{{- end }}
{{- with $annotations }}
annotations:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
