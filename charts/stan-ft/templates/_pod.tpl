{{/* Parts of the server's pod. */}}

{{/* A number, or a percentage. */}}
{{- define "stan-ft.intOrPercent" -}}
{{- if kindIs "string" . }}{{ quote . }}{{ else }}{{ int64 . }}{{ end -}}
{{- end -}}

{{/* A probe of the monitoring port. */}}
{{- define "stan-ft.probe" -}}
httpGet:
  path: {{ .path | quote }}
  port: monitor
{{- with .initialDelaySeconds }}
initialDelaySeconds: {{ int64 . }}
{{- end }}
periodSeconds: {{ int64 .periodSeconds }}
timeoutSeconds: {{ int64 .timeoutSeconds }}
failureThreshold: {{ int64 .failureThreshold }}
{{- with .terminationGracePeriodSeconds }}
terminationGracePeriodSeconds: {{ int64 . }}
{{- end }}
{{- end -}}

{{/* One environment variable from a Secret: name, secret, key. */}}
{{- define "stan-ft.secretEnv" -}}
- name: {{ .name | quote }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret | quote }}
      key: {{ .key | quote }}
{{- end -}}

{{/*
A Secret's value for the configuration: the server parses the value of a variable as configuration, so that a password of
digits would be a number. The second variable puts quotes around the first.
*/}}
{{- define "stan-ft.quotedSecretEnv" -}}
{{ include "stan-ft.secretEnv" (dict "name" (printf "%s_RAW" .name) "secret" .secret "key" .key) }}
- name: {{ .name | quote }}
  value: {{ printf "\"$(%s_RAW)\"" .name | squote }}
{{- end -}}

{{- define "stan-ft.env" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- /* A variable made of others cannot be written in the configuration itself, which only refers to it. */}}
- name: CLUSTER_ADVERTISE
  value: $(POD_NAME).{{ include "stan-ft.fullname" . }}.$(POD_NAMESPACE).svc.{{ .Values.clusterDomain }}
{{- with .Values.goMemoryLimit }}
- name: GOMEMLIMIT
  value: {{ quote . }}
{{- end }}
{{- with .Values.store.encryption }}
{{- if .enabled }}
{{ include "stan-ft.secretEnv" (dict "name" "NATS_STREAMING_ENCRYPTION_KEY" "secret" .existingSecret "key" .secretKey) }}
{{- end }}
{{- end }}
{{- if eq .Values.store.type "sql" }}
{{ include "stan-ft.quotedSecretEnv" (dict "name" "STAN_SQL_SOURCE" "secret" .Values.store.sql.existingSecret "key" .Values.store.sql.sourceKey) }}
{{- end }}
{{- with .Values.streaming.login }}
{{- if eq .method "password" }}
{{ include "stan-ft.quotedSecretEnv" (dict "name" "STAN_LOGIN_USERNAME" "secret" .existingSecret "key" .usernameKey) }}
{{ include "stan-ft.quotedSecretEnv" (dict "name" "STAN_LOGIN_PASSWORD" "secret" .existingSecret "key" .passwordKey) }}
{{- else if eq .method "token" }}
{{ include "stan-ft.quotedSecretEnv" (dict "name" "STAN_LOGIN_TOKEN" "secret" .existingSecret "key" .tokenKey) }}
{{- end }}
{{- end }}
{{- if not .Values.nats.external.url }}
{{- with .Values.nats.auth }}
{{- if eq .mode "password" }}
{{ include "stan-ft.quotedSecretEnv" (dict "name" "CLIENT_USERNAME" "secret" .existingSecret "key" .usernameKey) }}
{{ include "stan-ft.quotedSecretEnv" (dict "name" "CLIENT_PASSWORD" "secret" .existingSecret "key" .passwordKey) }}
{{- else if eq .mode "token" }}
{{ include "stan-ft.quotedSecretEnv" (dict "name" "CLIENT_TOKEN" "secret" .existingSecret "key" .tokenKey) }}
{{- end }}
{{- end }}
{{- with .Values.nats.cluster.auth }}
{{- if .existingSecret }}
{{ include "stan-ft.quotedSecretEnv" (dict "name" "ROUTE_USERNAME" "secret" .existingSecret "key" .usernameKey) }}
{{ include "stan-ft.quotedSecretEnv" (dict "name" "ROUTE_PASSWORD" "secret" .existingSecret "key" .passwordKey) }}
{{- range $ordinal := until (int $.Values.replicas) }}
- name: ROUTE_{{ $ordinal }}
  value: '"nats://$(ROUTE_USERNAME_RAW):$(ROUTE_PASSWORD_RAW)@{{ include "stan-ft.fullname" $ }}-{{ $ordinal }}.{{ include "stan-ft.podDomain" $ }}:{{ int64 $.Values.ports.cluster }}"'
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.extraEnv }}
- name: {{ $name | quote }}
  {{- if kindIs "map" $value }}
  {{- toYaml $value | nindent 2 }}
  {{- else }}
  value: {{ tpl (toString $value) $ | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Secrets that are mounted as files: a list of name, secret, path. */}}
{{- define "stan-ft.secretFiles" -}}
{{- if and .Values.nats.external.url .Values.nats.external.tls.enabled }}
- {name: nats-tls, secret: {{ .Values.nats.external.tls.existingSecret | quote }}, path: /etc/stan-tls/nats}
{{- end }}
{{- if not .Values.nats.external.url }}
{{- if .Values.nats.tls.enabled }}
- {name: client-tls, secret: {{ include "stan-ft.clientTLSSecretName" . | quote }}, path: /etc/stan-tls/client}
{{- end }}
{{- if .Values.nats.cluster.tls.enabled }}
- {name: cluster-tls, secret: {{ include "stan-ft.clusterTLSSecretName" . | quote }}, path: /etc/stan-tls/cluster}
{{- end }}
{{- if eq .Values.nats.auth.mode "users" }}
- {name: auth, secret: {{ .Values.nats.auth.existingSecret | quote }}, path: /etc/stan-auth}
{{- end }}
{{- end }}
{{- if has .Values.streaming.login.method (list "nkey" "credentials") }}
- {name: login, secret: {{ .Values.streaming.login.existingSecret | quote }}, path: /etc/stan-login}
{{- end }}
{{- end -}}

{{- define "stan-ft.affinity" -}}
{{- $term := dict "topologyKey" .Values.antiAffinity.topologyKey "labelSelector" (dict "matchLabels" (include "stan-ft.selectorLabels" . | fromYaml)) -}}
{{- $preset := dict -}}
{{- if eq .Values.antiAffinity.preset "hard" -}}
{{- $preset = dict "podAntiAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term)) -}}
{{- else if eq .Values.antiAffinity.preset "soft" -}}
{{- $preset = dict "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list (dict "weight" 100 "podAffinityTerm" $term))) -}}
{{- end -}}
{{- with mustMergeOverwrite $preset (deepCopy .Values.affinity) -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.tolerations" -}}
{{- $tolerations := .Values.tolerations -}}
{{- if not (kindIs "invalid" .Values.nodeLossTolerationSeconds) -}}
{{- range list "node.kubernetes.io/not-ready" "node.kubernetes.io/unreachable" -}}
{{- $tolerations = append $tolerations (dict "key" . "operator" "Exists" "effect" "NoExecute" "tolerationSeconds" (int64 $.Values.nodeLossTolerationSeconds)) -}}
{{- end -}}
{{- end -}}
{{- with $tolerations -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.topologySpreadConstraints" -}}
{{- $constraints := list -}}
{{- $selector := dict "labelSelector" (dict "matchLabels" (include "stan-ft.selectorLabels" . | fromYaml)) -}}
{{- range .Values.topologySpreadConstraints -}}
{{- $constraints = append $constraints (mustMergeOverwrite (deepCopy $selector) .) -}}
{{- end -}}
{{- with $constraints -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{/* Init container that hands an older store over to the servers' user. */}}
{{- define "stan-ft.volumePermissions" -}}
- name: volume-permissions
  image: {{ include "stan-ft.image" (dict "context" . "image" .Values.persistence.volumePermissions.image "tag" "") | quote }}
  command:
    - chown
    - -R
    - {{ printf "%d:%d" (int64 .Values.podSecurityContext.runAsUser) (int64 .Values.podSecurityContext.runAsGroup) }}
    - {{ .Values.persistence.mountPath | quote }}
  securityContext:
    runAsUser: 0
    runAsNonRoot: false
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop:
        - ALL
      add:
        - CHOWN
        - DAC_OVERRIDE
        - FOWNER
  volumeMounts:
    - name: efs
      mountPath: {{ .Values.persistence.mountPath | quote }}
      {{- with .Values.persistence.subPath }}
      subPath: {{ quote . }}
      {{- end }}
{{- end -}}

{{/* Security context of the pod, without what is empty. */}}
{{- define "stan-ft.podSecurityContext" -}}
{{- $context := dict -}}
{{- range $key, $value := .Values.podSecurityContext -}}
{{- if not (or (kindIs "invalid" $value) (and (kindIs "slice" $value) (empty $value))) -}}
{{- $_ := set $context $key $value -}}
{{- end -}}
{{- end -}}
{{- with $context -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}
