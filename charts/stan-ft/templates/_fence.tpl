{{/* The fence beside each server: files/fence.sh and files/fence-unmount.sh say what it does. */}}

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
    {{- if .Values.fence.forceUnmount }}
    - name: FENCE_UNMOUNT
      value: /run/stan-fence/unmount
    {{- end }}
  {{- with .Values.fence.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.containerSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- include "stan-ft.fence.mounts" . | nindent 2 }}
{{- if .Values.fence.forceUnmount }}
- name: fence-unmount
  image: {{ include "stan-ft.image" (dict "context" . "image" .Values.fence.image "tag" "") | quote }}
  imagePullPolicy: {{ .Values.fence.image.pullPolicy }}
  command:
    - sh
    - /etc/stan-fence/fence-unmount.sh
  env:
    - name: FENCE_VOLUME
      value: {{ .Values.persistence.mountPath | quote }}
    - name: FENCE_UNMOUNT
      value: /run/stan-fence/unmount
  {{- with .Values.fence.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsUser: 0
    runAsGroup: 0
    runAsNonRoot: false
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop:
        - ALL
      add:
        - SYS_ADMIN
    seccompProfile:
      type: RuntimeDefault
  {{- include "stan-ft.fence.mounts" . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "stan-ft.fence.mounts" -}}
volumeMounts:
  - name: efs
    mountPath: {{ .Values.persistence.mountPath | quote }}
    {{- with .Values.persistence.subPath }}
    subPath: {{ quote . }}
    {{- end }}
  - name: fence-script
    mountPath: /etc/stan-fence
    readOnly: true
  {{- if .Values.fence.forceUnmount }}
  - name: fence-run
    mountPath: /run/stan-fence
  {{- end }}
{{- end -}}

{{- define "stan-ft.fence.volumes" -}}
- name: fence-script
  configMap:
    name: {{ include "stan-ft.fence.configMapName" . | quote }}
{{- if .Values.fence.forceUnmount }}
- name: fence-run
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
{{- end }}
{{- end -}}
