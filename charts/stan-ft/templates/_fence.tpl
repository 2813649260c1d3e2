{{/* The fence beside each server: files/fence.sh says what it does. */}}

{{- define "stan-ft.fence.enabled" -}}
{{- if and .Values.fence.enabled (eq .Values.store.type "file") }}true{{ end -}}
{{- end -}}

{{- define "stan-ft.fence.configMapName" -}}
{{- printf "%s-fence" (include "stan-ft.fullname" .) -}}
{{- end -}}

{{- define "stan-ft.fence.container" -}}
- name: fence
  image: {{ include "stan-ft.image" (dict "context" . "image" .Values.fence.image "tag" "") | quote }}
  imagePullPolicy: {{ .Values.fence.image.pullPolicy }}
  command:
    - sh
    - /etc/stan-fence/fence.sh
  env:
    - name: POD_NAME
      valueFrom:
        fieldRef:
          fieldPath: metadata.name
    - name: FENCE_VOLUME
      value: {{ .Values.persistence.mountPath | quote }}
    - name: FENCE_INTERVAL
      value: {{ .Values.fence.intervalSeconds | quote }}
    - name: FENCE_LIMIT
      value: {{ int64 .Values.fence.limitSeconds | quote }}
    - name: FENCE_MONITOR
      value: http://127.0.0.1:{{ int64 .Values.ports.monitor }}
  {{- with .Values.fence.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.containerSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    - name: efs
      mountPath: {{ .Values.persistence.mountPath | quote }}
      {{- with .Values.persistence.subPath }}
      subPath: {{ quote . }}
      {{- end }}
    - name: fence-script
      mountPath: /etc/stan-fence
      readOnly: true
{{- end -}}
