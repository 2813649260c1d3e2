{{/* What the pods of `helm test` share. */}}

{{- define "stan-ft.tests.name" -}}
{{- printf "%s-test" (include "stan-ft.fullname" .) -}}
{{- end -}}

{{/* metadata of an object of the tests: context, suffix of the name, weight. No selector label, or the Services would find the pod. */}}
{{- define "stan-ft.tests.metadata" -}}
name: {{ include "stan-ft.tests.name" .context }}{{ .suffix }}
labels:
  {{- include "stan-ft.componentLabels" (dict "context" .context "component" "test") | nindent 2 }}
annotations:
  {{- with .context.Values.commonAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  helm.sh/hook: test
  helm.sh/hook-weight: {{ quote .weight }}
  helm.sh/hook-delete-policy: before-hook-creation{{ .after }}
{{- end -}}

{{/* Everything of a test pod's spec but its containers: context, serviceAccount. */}}
{{- define "stan-ft.tests.pod" -}}
restartPolicy: Never
{{- with .serviceAccount }}
serviceAccountName: {{ quote . }}
{{- end }}
automountServiceAccountToken: {{ ne .serviceAccount "" }}
enableServiceLinks: false
{{- with include "stan-ft.imagePullSecrets" .context | trim }}
{{ . }}
{{- end }}
securityContext:
  {{- include "stan-ft.hook.podSecurityContext" .context | nindent 2 }}
{{- with .context.Values.tests.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .context.Values.tests.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: scripts
    configMap:
      name: {{ include "stan-ft.tests.name" .context }}
  - name: tmp
    emptyDir: {}
  {{- if .context.Values.nats.tls.enabled }}
  - name: authority
    secret:
      secretName: {{ include "stan-ft.clientTLSSecretName" .context | quote }}
      # Only the certificate of the authority: a client needs no server's key.
      items:
        - key: {{ .context.Values.nats.tls.caKey | quote }}
          path: ca.crt
  {{- end }}
{{- end -}}

{{/* One container of a test pod: context, name, script, image, and further environment as YAML. */}}
{{- define "stan-ft.tests.container" -}}
{{- $root := .context -}}
- name: {{ .name | quote }}
  image: {{ include "stan-ft.image" (dict "context" $root "image" .image "tag" "") | quote }}
  imagePullPolicy: {{ .image.pullPolicy }}
  command:
    - /bin/sh
    - /scripts/{{ .script }}
  env:
    {{- .env | trim | nindent 4 }}
    - name: HOME
      value: /tmp
  {{- with $root.Values.tests.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- include "stan-ft.hook.securityContext" $root | nindent 4 }}
  terminationMessagePolicy: FallbackToLogsOnError
  volumeMounts:
    - name: scripts
      mountPath: /scripts
      readOnly: true
    - name: tmp
      mountPath: /tmp
    {{- if $root.Values.nats.tls.enabled }}
    - name: authority
      mountPath: /etc/authority
      readOnly: true
    {{- end }}
{{- end -}}

{{/* Environment of the scripts that ask the servers. */}}
{{- define "stan-ft.tests.serverEnv" -}}
- name: NAME
  value: {{ include "stan-ft.fullname" . | quote }}
- name: DOMAIN
  value: {{ include "stan-ft.podDomain" . | quote }}
- name: REPLICAS
  value: {{ int64 .Values.replicas | quote }}
- name: MONITOR_PORT
  value: {{ int64 .Values.ports.monitor | quote }}
{{- end -}}

{{/* Environment of the script that publishes and receives: context, role (publish, receive or both), text. */}}
{{- define "stan-ft.tests.clientEnv" -}}
{{- $root := .context -}}
- name: SERVER
  value: {{ include "stan-ft.clientHost" $root }}:{{ int64 $root.Values.clientService.port }}
- name: CLUSTER_ID
  value: {{ $root.Values.streaming.id | quote }}
- name: CHANNEL
  value: {{ $root.Values.tests.channel | quote }}
- name: RUN
  valueFrom:
    fieldRef:
      fieldPath: metadata.uid
- name: TEXT
  value: {{ .text }} of test run $(RUN)
- name: ROLE
  value: {{ .role }}
- name: TIMEOUT
  value: {{ int64 $root.Values.tests.timeoutSeconds | quote }}
{{- if $root.Values.nats.tls.enabled }}
- name: TLS
  value: "1"
# The Go clients take their authorities from there.
- name: SSL_CERT_FILE
  value: /etc/authority/ca.crt
{{- end }}
{{- $login := $root.Values.tests.client }}
{{- $auth := $root.Values.nats.auth }}
{{- if $login.existingSecret }}
{{- with $login.usernameKey }}
{{ include "stan-ft.secretEnv" (dict "name" "USERNAME" "secret" $login.existingSecret "key" .) }}
{{- end }}
{{ include "stan-ft.secretEnv" (dict "name" "PASSWORD" "secret" $login.existingSecret "key" $login.passwordKey) }}
{{- else if eq $auth.mode "password" }}
{{ include "stan-ft.secretEnv" (dict "name" "USERNAME" "secret" $auth.existingSecret "key" $auth.usernameKey) }}
{{ include "stan-ft.secretEnv" (dict "name" "PASSWORD" "secret" $auth.existingSecret "key" $auth.passwordKey) }}
{{- else if eq $auth.mode "token" }}
{{ include "stan-ft.secretEnv" (dict "name" "PASSWORD" "secret" $auth.existingSecret "key" $auth.tokenKey) }}
{{- end }}
{{- end -}}

{{/*
Why no test client can be run with these values, or nothing. stan-pub and stan-sub have no flag for a certificate of
their own, and with NATS elsewhere the chart has no client Service.
*/}}
{{- define "stan-ft.tests.noClient" -}}
{{- if .Values.nats.external.url -}}
NATS runs elsewhere (nats.external.url)
{{- else if not .Values.clientService.enabled -}}
there is no client Service (clientService.enabled)
{{- else if or .Values.nats.tls.verify .Values.nats.tls.verifyAndMap -}}
clients need a certificate of their own (nats.tls.verify), which stan-pub cannot show
{{- else if and (eq .Values.nats.auth.mode "users") (not .Values.tests.client.existingSecret) -}}
the login of a test client is not known (tests.client.existingSecret)
{{- end -}}
{{- end -}}
