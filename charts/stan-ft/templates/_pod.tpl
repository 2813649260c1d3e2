{{/* The server's pod. */}}

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

{{- /* The container's limit in bytes; nothing without one. */}}
{{- define "stan-ft.memoryLimit" -}}
{{- with get (get (.Values.container.resources | default dict) "limits" | default dict) "memory" }}{{ include "stan-ft.bytes" . }}{{ end -}}
{{- end -}}

{{- /* Bytes beside a server, 24 MiB for the supervisor; nothing without it. */}}
{{- define "stan-ft.supervisorMemory" -}}
{{- if include "stan-ft.supervised" . }}25165824{{ end -}}
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
{{- if and (include "stan-ft.ownLogin" .) (not (include "stan-ft.ownFile" .)) }}
- name: POD_UID
  valueFrom:
    fieldRef:
      fieldPath: metadata.uid
{{- /* No client knows it, and the letters in front keep it a text. */}}
- name: SERVER_LOGIN
  value: server-$(POD_UID)
{{- end }}
{{- $bytes := include "stan-ft.memoryLimit" . | int64 }}
{{- if and $bytes (not (hasKey (.Values.container.env | default dict) "GOMEMLIMIT")) }}
{{- $most := mulf (float64 $bytes) 0.88 | int64 }}
{{- with include "stan-ft.supervisorMemory" . | int64 }}
{{- $most = min $most (max (div $bytes 2) (sub $bytes (mul 2 .))) }}
{{- end }}
- name: GOMEMLIMIT
  value: {{ printf "%dMiB" (div $most 1048576) | quote }}
{{- end }}
{{- with .Values.store.encryption }}
{{- if .enabled }}
{{ include "stan-ft.secretEnv" (dict "name" "NATS_STREAMING_ENCRYPTION_KEY" "secret" .existingSecret "key" .secretKey) }}
{{- end }}
{{- end }}
{{- if eq .Values.store.type "sql" }}
{{ include "stan-ft.quotedSecretEnv" (dict "name" "STAN_SQL_SOURCE" "secret" .Values.store.sql.existingSecret "key" .Values.store.sql.sourceKey) }}
{{- end }}
{{- with .Values.auth.server }}
{{- if eq .method "password" }}
{{ include "stan-ft.quotedSecretEnv" (dict "name" "STAN_LOGIN_USERNAME" "secret" .existingSecret "key" .usernameKey) }}
{{ include "stan-ft.quotedSecretEnv" (dict "name" "STAN_LOGIN_PASSWORD" "secret" .existingSecret "key" .passwordKey) }}
{{- else if eq .method "token" }}
{{ include "stan-ft.quotedSecretEnv" (dict "name" "STAN_LOGIN_TOKEN" "secret" .existingSecret "key" .tokenKey) }}
{{- end }}
{{- end }}
{{- if not .external }}
{{- with .Values.auth }}
{{- if eq .mode "password" }}
{{ include "stan-ft.quotedSecretEnv" (dict "name" "CLIENT_USERNAME" "secret" .existingSecret "key" .usernameKey) }}
{{ include "stan-ft.quotedSecretEnv" (dict "name" "CLIENT_PASSWORD" "secret" .existingSecret "key" .passwordKey) }}
{{- else if eq .mode "token" }}
{{ include "stan-ft.quotedSecretEnv" (dict "name" "CLIENT_TOKEN" "secret" .existingSecret "key" .tokenKey) }}
{{- end }}
{{- end }}
{{- with .Values.auth.routes }}
{{- if .existingSecret }}
{{ include "stan-ft.quotedSecretEnv" (dict "name" "ROUTE_USERNAME" "secret" .existingSecret "key" .usernameKey) }}
{{ include "stan-ft.quotedSecretEnv" (dict "name" "ROUTE_PASSWORD" "secret" .existingSecret "key" .passwordKey) }}
{{- range $ordinal := until (int $.Values.replicas) }}
- name: ROUTE_{{ $ordinal }}
  value: '"nats://$(ROUTE_USERNAME_RAW):$(ROUTE_PASSWORD_RAW)@{{ include "stan-ft.fullname" $ }}-{{ $ordinal }}.{{ include "stan-ft.podDomain" $ }}:{{ int64 $.conf.cluster.port }}"'
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- include "stan-ft.variables" (list . .Values.container.env) }}
{{- end -}}

{{/* Secrets that are mounted as files: a list of name, secret, path. */}}
{{- define "stan-ft.secretFiles" -}}
{{- if and .external .Values.tls.external.enabled }}
- {name: nats-tls, secret: {{ .Values.tls.external.existingSecret | quote }}, path: /etc/stan-tls/nats}
{{- end }}
{{- if not .external }}
{{- if .Values.tls.client.enabled }}
- {name: client-tls, secret: {{ include "stan-ft.clientTLSSecretName" . | quote }}, path: /etc/stan-tls/client, reread: true}
{{- end }}
{{- if .Values.tls.routes.enabled }}
- {name: cluster-tls, secret: {{ include "stan-ft.routesTLSSecretName" . | quote }}, path: /etc/stan-tls/cluster, reread: true}
{{- end }}
{{- if eq .Values.auth.mode "users" }}
- {name: auth, secret: {{ .Values.auth.existingSecret | quote }}, path: /etc/stan-auth, reread: true}
{{- end }}
{{- end }}
{{- if has .Values.auth.server.method (list "nkey" "credentials") }}
- {name: login, secret: {{ .Values.auth.server.existingSecret | quote }}, path: /etc/stan-login}
{{- end }}
{{- end -}}

{{- define "stan-ft.affinity" -}}
{{- $term := dict "topologyKey" .Values.podTemplate.antiAffinity.topologyKey "labelSelector" (dict "matchLabels" (include "stan-ft.selectorLabels" . | fromYaml)) -}}
{{- $affinity := dict -}}
{{- if eq .Values.podTemplate.antiAffinity.preset "hard" -}}
{{- $affinity = dict "podAntiAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term)) -}}
{{- else if eq .Values.podTemplate.antiAffinity.preset "soft" -}}
{{- $affinity = dict "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list (dict "weight" 100 "podAffinityTerm" $term))) -}}
{{- end -}}
{{- include "stan-ft.lay" (list $affinity (deepCopy (.Values.podTemplate.affinity | default dict))) -}}
{{- with $affinity -}}{{- toYaml . -}}{{- end -}}
{{- end -}}

{{- define "stan-ft.tolerations" -}}
{{- $tolerations := .Values.podTemplate.tolerations | default list -}}
{{- if not (kindIs "invalid" .Values.podTemplate.nodeLossTolerationSeconds) -}}
{{- range list "node.kubernetes.io/not-ready" "node.kubernetes.io/unreachable" -}}
{{- $tolerations = append $tolerations (dict "key" . "operator" "Exists" "effect" "NoExecute" "tolerationSeconds" (int64 $.Values.podTemplate.nodeLossTolerationSeconds)) -}}
{{- end -}}
{{- end -}}
{{- with $tolerations -}}{{- toYaml . -}}{{- end -}}
{{- end -}}

{{- define "stan-ft.topologySpreadConstraints" -}}
{{- $selector := dict "matchLabels" (include "stan-ft.selectorLabels" . | fromYaml) -}}
{{- range .Values.podTemplate.topologySpreadConstraints -}}
{{- toYaml (list (mustMerge (deepCopy .) (dict "labelSelector" (hasKey . "labelSelector" | ternary dict $selector)))) | nindent 0 -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.storeMount" -}}
- name: data
  mountPath: {{ .Values.persistence.mountPath | quote }}
  {{- with .Values.persistence.subPath }}
  subPath: {{ quote . }}
  {{- end }}
{{- end -}}

{{/* Init container that hands an older store over to the servers' user. */}}
{{- define "stan-ft.volumePermissions" -}}
{{- with .Values.persistence.volumePermissions -}}
- name: volume-permissions
  image: {{ include "stan-ft.image" (dict "context" $ "image" .image "path" "persistence.volumePermissions.image") | quote }}
  imagePullPolicy: {{ .image.pullPolicy }}
  command:
    - chown
    - -R
    - {{ printf "%d:%d" (int64 $.Values.podTemplate.securityContext.runAsUser) (int64 $.Values.podTemplate.securityContext.runAsGroup) }}
    - {{ $.Values.persistence.mountPath | quote }}
  {{- with .resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
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
    {{- include "stan-ft.storeMount" $ | nindent 4 }}
{{- end -}}
{{- end -}}

{{/* Whether each server runs under the supervisor. YAML reads a bare off as false. */}}
{{- define "stan-ft.supervised" -}}
{{- if and (eq .Values.store.type "file") (not (has .Values.fencing.mode (list "off" false))) }}true{{ end -}}
{{- end -}}

{{/* What starts the server: image, and its command and arguments. */}}
{{- define "stan-ft.serverCommand" -}}
{{- if include "stan-ft.supervised" . -}}
image: {{ include "stan-ft.image" (dict "context" . "image" .Values.fencing.image "path" "fencing.image") | quote }}
imagePullPolicy: {{ .Values.fencing.image.pullPolicy }}
command:
  - python3
  - -BEsS
  - /opt/stan/supervisor.py
args:
  - --directory={{ .conf.streaming.dir }}
  - --name=$(POD_NAME)
  - --mode={{ .Values.fencing.mode }}
  {{- with .Values.fencing.leaseSeconds }}
  - --lease={{ . }}
  {{- end }}
  - --beyond-quota={{ .Values.fencing.beyondLockQuota }}
  {{- if and (not (include "stan-ft.ownFile" .)) (eq (toString (get (.conf.streaming.file_options | default dict) "sync_on_flush")) "false") }}
  - --unsynced
  {{- end }}
  - --monitor=http://127.0.0.1:{{ int64 .conf.http }}
  - --listen=:{{ int64 .Values.fencing.port }}
  - --memory=/run/stan/ended-for-silence
  {{- range include "stan-ft.secretFiles" . | fromYamlArray }}
  {{- if .reread }}
  - --reread={{ .path }}
  {{- end }}
  {{- end }}
  - --
  - /opt/stan/nats-streaming-server
{{- else -}}
image: {{ include "stan-ft.image" (dict "context" . "image" .Values.image "tag" .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
{{- end }}
  - -sc
  - /etc/stan-config/stan.conf
  {{- with .Values.container.args }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/*
Init container that copies server and supervisor into the pod, once: the ConfigMap is changed in place by an upgrade, and a
pod that is restarted before the rollout reaches it goes on with what it had, as with its stan.conf.
*/}}
{{- define "stan-ft.programContainer" -}}
{{- $image := deepCopy .Values.image -}}
{{- $tag := toString ($image.tag | default .Chart.AppVersion) -}}
{{- /* The plain image holds the program alone, the other one a shell too. */}}
{{- $_ := set $image "tag" (or (contains "alpine" $tag) (ne (base $image.repository) "nats-streaming") | ternary $tag (printf "%s-alpine" $tag)) -}}
name: program
image: {{ include "stan-ft.image" (dict "context" . "image" $image "path" "image") | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command:
  - sh
  - -c
  - >-
    [ -e /opt/stan/whole ] ||
    { cp "$(command -v nats-streaming-server)" /etc/stan-fencing/*.py /opt/stan/ && touch /opt/stan/whole; }
{{- with .Values.fencing.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.container.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: fencing
    mountPath: /etc/stan-fencing
    readOnly: true
  - name: program
    mountPath: /opt/stan
    subPath: program
{{- end -}}

{{- define "stan-ft.serverContainer" -}}
name: stan
{{ include "stan-ft.serverCommand" . }}
env:
  {{- include "stan-ft.env" . | nindent 2 }}
ports:
  {{- range include "stan-ft.serverPorts" . | fromYamlArray }}
  - name: {{ .name | quote }}
    containerPort: {{ .port }}
  {{- end }}
  {{- if include "stan-ft.supervised" . }}
  - name: fencing
    containerPort: {{ int64 .Values.fencing.port }}
  {{- end }}
{{- range $probe := list "startupProbe" "livenessProbe" "readinessProbe" }}
{{- with index $.Values.container $probe }}
{{ $probe }}:
  {{- include "stan-ft.probe" (list $ $probe .) | nindent 2 }}
{{- end }}
{{- end }}
{{- with .Values.container.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.container.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: config
    mountPath: /etc/stan-config
    readOnly: true
  {{- if eq .Values.store.type "file" }}
  {{- include "stan-ft.storeMount" . | nindent 2 }}
  {{- end }}
  {{- if include "stan-ft.supervised" . }}
  - name: program
    mountPath: /opt/stan
    subPath: program
    readOnly: true
  - name: program
    mountPath: /run/stan
    subPath: run
  {{- end }}
  {{- range include "stan-ft.secretFiles" . | fromYamlArray }}
  - name: {{ .name | quote }}
    mountPath: {{ .path | quote }}
    readOnly: true
  {{- end }}
  {{- with .Values.container.extraVolumeMounts }}
  {{- tpl (toYaml .) $ | nindent 2 }}
  {{- end }}
{{- end -}}

{{/*
A probe: context, name, probe. /healthz does not exist before server 0.24, and answers 503 for good where NATS runs
elsewhere: there the root page is asked, which is as quick.
*/}}
{{- define "stan-ft.probe" -}}
{{- $root := index . 0 -}}
{{- $probe := deepCopy (index . 2) -}}
{{- if and (eq (dig "httpGet" "path" "" $probe | toString) "/healthz") (or $root.external (regexMatch "^v?0\\.(1?[0-9]|2[0-3])\\." (toString $root.Values.image.tag))) -}}
{{- $_ := set $probe.httpGet "path" "/" -}}
{{- end -}}
{{- toYaml $probe -}}
{{- end -}}

{{- define "stan-ft.exporterContainer" -}}
name: metrics
image: {{ include "stan-ft.image" (dict "context" . "image" .Values.promExporter.image "path" "promExporter.image") | quote }}
imagePullPolicy: {{ .Values.promExporter.image.pullPolicy }}
args:
  {{- with .Values.promExporter.args }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  - -port={{ int64 .Values.promExporter.port }}
  - -ri={{ int64 .Values.promExporter.retryIntervalSeconds }}
  - http://localhost:{{ int64 .conf.http }}
ports:
  - name: metrics
    containerPort: {{ int64 .Values.promExporter.port }}
# Its port, not its metrics: those wait for the server, and a server that recovers its store is silent for long.
livenessProbe:
  tcpSocket:
    port: metrics
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 6
{{- with .Values.promExporter.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.container.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* An item of a list of containers: context, merge, the container as text, path of merge. */}}
{{- define "stan-ft.containerItem" -}}
{{- printf "- %s" (include "stan-ft.merged" . | indent 2 | trim) -}}
{{- end -}}

{{- define "stan-ft.podAnnotations" -}}
{{- $annotations := dict -}}
{{- if not .Values.configFile.existingConfigMap -}}
{{- $_ := set $annotations "stan-ft/stan.conf" .written -}}
{{- end -}}
{{- with .Values.promExporter -}}
{{- if and .enabled .scrapeAnnotations (not .serviceMonitor.enabled) (not .podMonitor.enabled) -}}
{{- $_ := set $annotations "prometheus.io/scrape" "true" -}}
{{- $_ := set $annotations "prometheus.io/port" (int64 .port | toString) -}}
{{- $_ := set $annotations "prometheus.io/path" "/metrics" -}}
{{- end -}}
{{- end -}}
{{- with include "stan-ft.fencing" . -}}
{{- $_ := set $annotations "checksum/fencing" (sha256sum .) -}}
{{- end -}}
{{- with .Values.podTemplate.annotations -}}
{{- include "stan-ft.lay" (list $annotations (tpl (toYaml .) $ | fromYaml)) -}}
{{- end -}}
{{- with $annotations -}}{{- toYaml . -}}{{- end -}}
{{- end -}}

{{/* The supervisor's files, as the data of a ConfigMap; nothing without it. */}}
{{- define "stan-ft.fencing" -}}
{{- if include "stan-ft.supervised" . -}}
{{- range $path, $content := .Files.Glob "files/supervisor/*.py" }}
{{ base $path }}: |
  {{- toString $content | trim | nindent 2 }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The pod template, with what the user merges into it. */}}
{{- define "stan-ft.podTemplate" -}}
{{- include "stan-ft.merged" (list . .Values.podTemplate.merge (include "stan-ft.podTemplate.own" .) "podTemplate.merge") -}}
{{- end -}}

{{- define "stan-ft.podTemplate.own" -}}
{{- $supervised := include "stan-ft.supervised" . -}}
{{- $file := eq .Values.store.type "file" -}}
metadata:
  labels:
    {{- include "stan-ft.podLabels" . | nindent 4 }}
  {{- with include "stan-ft.podAnnotations" . }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "stan-ft.serviceAccountName" . | quote }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with include "stan-ft.imagePullSecrets" (list . .Values.image.pullSecrets) | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  terminationGracePeriodSeconds: {{ int64 .Values.podTemplate.terminationGracePeriodSeconds }}
  {{- with .Values.podTemplate.securityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.podTemplate.priorityClassName }}
  priorityClassName: {{ quote . }}
  {{- end }}
  {{- with .Values.podTemplate.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with include "stan-ft.affinity" . }}
  affinity:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with include "stan-ft.tolerations" . }}
  tolerations:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with include "stan-ft.topologySpreadConstraints" . | trim }}
  topologySpreadConstraints:
    {{- . | nindent 4 }}
  {{- end }}
  {{- $permissions := and .Values.persistence.volumePermissions.enabled $file }}
  {{- if or $permissions $supervised .Values.podTemplate.extraInitContainers }}
  initContainers:
    {{- if $permissions }}
    {{- include "stan-ft.volumePermissions" . | nindent 4 }}
    {{- end }}
    {{- if $supervised }}
    {{- include "stan-ft.containerItem" (list . dict (include "stan-ft.programContainer" .)) | nindent 4 }}
    {{- end }}
    {{- with .Values.podTemplate.extraInitContainers }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
  {{- end }}
  containers:
    {{- include "stan-ft.containerItem" (list . .Values.container.merge (include "stan-ft.serverContainer" .) "container.merge") | nindent 4 }}
    {{- if .Values.promExporter.enabled }}
    {{- include "stan-ft.containerItem" (list . .Values.promExporter.merge (include "stan-ft.exporterContainer" .) "promExporter.merge") | nindent 4 }}
    {{- end }}
    {{- with .Values.podTemplate.extraContainers }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
  volumes:
    - name: config
      {{- if .Values.configFile.existingConfigMap }}
      configMap:
        name: {{ .Values.configFile.existingConfigMap | quote }}
        items:
          - key: {{ .Values.configFile.existingConfigMapKey | quote }}
            path: stan.conf
      {{- else }}
      # From the pod itself: a restarted pod reads the configuration of its own revision until it is replaced.
      downwardAPI:
        items:
          - path: stan.conf
            fieldRef:
              fieldPath: metadata.annotations['stan-ft/stan.conf']
      {{- end }}
    {{- if $file }}
    - name: data
      persistentVolumeClaim:
        claimName: {{ include "stan-ft.claimName" . | quote }}
    {{- end }}
    {{- range include "stan-ft.secretFiles" . | fromYamlArray }}
    - name: {{ .name | quote }}
      secret:
        secretName: {{ .secret | quote }}
        defaultMode: {{ kindIs "invalid" (index ($.Values.podTemplate.securityContext | default dict) "fsGroup") | ternary "0444" "0440" }}
    {{- end }}
    {{- if $supervised }}
    - name: fencing
      configMap:
        name: {{ printf "%s-fencing" (include "stan-ft.fullname" .) }}
    - name: program
      emptyDir: {}
    {{- end }}
    {{- with .Values.podTemplate.extraVolumes }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
{{- end -}}
