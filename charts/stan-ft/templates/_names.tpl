{{/* Names, labels and addresses: one helper for each, so that nothing else builds a name from parts. */}}

{{- define "stan-ft.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name -}}
{{- end -}}

{{- define "stan-ft.name" -}}
{{- .Values.nameOverride | default .Chart.Name -}}
{{- end -}}

{{- define "stan-ft.configMapName" -}}
{{- .Values.config.existingConfigMap | default (printf "%s-config" (include "stan-ft.fullname" .)) -}}
{{- end -}}

{{- define "stan-ft.clientServiceName" -}}
{{- printf "%s-client" (include "stan-ft.fullname" .) -}}
{{- end -}}

{{- define "stan-ft.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "stan-ft.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.claimName" -}}
{{- .Values.persistence.existingClaim | default .Values.persistence.claim.name | default (include "stan-ft.fullname" .) -}}
{{- end -}}

{{/* Name of the chart's own PersistentVolume, which is cluster-scoped: the namespace keeps releases apart. */}}
{{- define "stan-ft.staticVolumeName" -}}
{{- printf "%s-%s" .Release.Namespace (include "stan-ft.claimName" .) -}}
{{- end -}}

{{- define "stan-ft.certificateSecretName" -}}
{{- printf "%s-tls" (include "stan-ft.fullname" .) -}}
{{- end -}}

{{- define "stan-ft.clientTLSSecretName" -}}
{{- .Values.nats.tls.existingSecret | default (include "stan-ft.certificateSecretName" .) -}}
{{- end -}}

{{- define "stan-ft.clusterTLSSecretName" -}}
{{- .Values.nats.cluster.tls.existingSecret | default (include "stan-ft.certificateSecretName" .) -}}
{{- end -}}

{{/* Domain of the pods, such as stan.default.svc.cluster.local: fully qualified, so that no search domain is walked. */}}
{{- define "stan-ft.podDomain" -}}
{{- printf "%s.%s.svc.%s" (include "stan-ft.fullname" .) .Release.Namespace .Values.clusterDomain -}}
{{- end -}}

{{- define "stan-ft.clientHost" -}}
{{- printf "%s.%s.svc.%s" (include "stan-ft.clientServiceName" .) .Release.Namespace .Values.clusterDomain -}}
{{- end -}}

{{/* Name of the fault-tolerance group. */}}
{{- define "stan-ft.ftGroup" -}}
{{- .Values.streaming.ftGroup | default .Values.streaming.id -}}
{{- end -}}

{{/* The one label of the recipe, which its StatefulSet and Service select by; a StatefulSet's selector can never change. */}}
{{- define "stan-ft.selectorLabels" -}}
app: {{ include "stan-ft.fullname" . | quote }}
{{- end -}}

{{/*
Labels that tell what an object is, without the selector's: for objects whose pods are no servers (context, component,
and optionally labels of the user's own, which win over commonLabels). What the chart finds its objects by cannot be changed.
*/}}
{{- define "stan-ft.componentLabels" -}}
{{- $root := .context -}}
{{- $fixed := dict "app.kubernetes.io/name" (include "stan-ft.name" $root) "app.kubernetes.io/instance" $root.Release.Name "app.kubernetes.io/component" .component -}}
{{- mustMergeOverwrite (dict "app.kubernetes.io/part-of" "nats-streaming") $root.Values.commonLabels (.labels | default dict) $fixed | toYaml -}}
{{- end -}}

{{/* Labels of a server's pod. No version among them: a new chart alone restarts no pod. */}}
{{- define "stan-ft.podLabels" -}}
{{ include "stan-ft.selectorLabels" . }}
{{ include "stan-ft.componentLabels" (dict "context" . "component" "server" "labels" .Values.podLabels) }}
{{- end -}}

{{/* Labels of an object: context, and optionally labels of its own. */}}
{{- define "stan-ft.labels" -}}
{{ include "stan-ft.selectorLabels" .context }}
{{ include "stan-ft.componentLabels" (dict "context" .context "component" "server" "labels" .labels) }}
app.kubernetes.io/version: {{ .context.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .context.Chart.Name .context.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* metadata of an object: context, name, and optionally labels and annotations of its own. */}}
{{- define "stan-ft.metadata" -}}
name: {{ .name | quote }}
labels:
  {{- include "stan-ft.labels" (dict "context" .context "labels" .labels) | nindent 2 }}
{{- with mustMergeOverwrite (dict) (.context.Values.commonAnnotations | default dict) (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
