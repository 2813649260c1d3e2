{{/* The guard beside each server: files/guard.pl says what it does. */}}

{{- define "stan-ft.guard.enabled" -}}
{{- if and .Values.guard.enabled (eq .Values.store.type "file") }}true{{ end -}}
{{- end -}}

{{- define "stan-ft.guard.configMapName" -}}
{{- printf "%s-guard" (include "stan-ft.fullname" .) -}}
{{- end -}}

{{- define "stan-ft.guard.container" -}}
- name: guard
  image: {{ include "stan-ft.image" (dict "context" . "image" .Values.guard.image "tag" "") | quote }}
  imagePullPolicy: {{ .Values.guard.image.pullPolicy }}
  command:
    - perl
    - /etc/stan-guard/guard.pl
  env:
    - name: GUARD_INTERVAL
      value: {{ .Values.guard.intervalSeconds | quote }}
  {{- with .Values.guard.resources }}
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
        - SYS_PTRACE
    seccompProfile:
      type: RuntimeDefault
  volumeMounts:
    - name: guard-script
      mountPath: /etc/stan-guard
      readOnly: true
{{- end -}}
