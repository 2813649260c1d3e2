{{/* The one list of ports: Services and containers are made from it. NATS begins in clear text and turns to TLS, so tcp it is. */}}

{{- define "stan-ft.serverPorts" -}}
{{- if not .Values.nats.external.url }}
- name: client
  port: {{ int64 .Values.ports.client }}
  appProtocol: tcp
- name: cluster
  port: {{ int64 .Values.ports.cluster }}
  appProtocol: tcp
{{- end }}
- name: monitor
  port: {{ int64 .Values.ports.monitor }}
  appProtocol: http
{{- end -}}

{{- define "stan-ft.ports" -}}
{{ include "stan-ft.serverPorts" . }}
{{- if .Values.metrics.enabled }}
- name: metrics
  port: {{ int64 .Values.ports.metrics }}
  appProtocol: http
{{- end }}
{{- end -}}

{{- define "stan-ft.ipFamilies" -}}
{{- with .Values.networking.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.networking.ipFamilies }}
ipFamilies:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
