{{/* The exporter container beside each server. */}}
{{- define "stan-ft.metrics.container" -}}
- name: metrics
  image: {{ include "stan-ft.image" (dict "context" . "image" .Values.metrics.image "tag" "") }}
  imagePullPolicy: {{ .Values.metrics.image.pullPolicy }}
  args:
    {{- toYaml .Values.metrics.flags | nindent 4 }}
    - -port={{ int64 .Values.ports.metrics }}
    - http://localhost:{{ int64 .Values.ports.monitor }}
  ports:
    - name: metrics
      containerPort: {{ int64 .Values.ports.metrics }}
  {{- with .Values.metrics.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.containerSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
