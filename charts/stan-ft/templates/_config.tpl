{{/* Body of stan.conf: a one-to-one map of values to the keys of the server. */}}

{{/* A list in the server's syntax: key, items. */}}
{{- define "stan-ft.conf.list" -}}
{{- with .items }}
{{ $.key }}: [
{{- range . }}
  {{ quote . }}
{{- end }}
]
{{- end }}
{{- end -}}

{{/* Limits of a TLS block: what may be spoken, and by whom. */}}
{{- define "stan-ft.conf.tlsLimits" -}}
{{- include "stan-ft.conf.lines" (list . (list
  "timeout timeout int"
  "connectionRateLimit connection_rate_limit int"
)) }}
{{- include "stan-ft.conf.list" (dict "key" "cipher_suites" "items" .cipherSuites) }}
{{- include "stan-ft.conf.list" (dict "key" "curve_preferences" "items" .curvePreferences) }}
{{- include "stan-ft.conf.list" (dict "key" "pinned_certs" "items" .pinnedCerts) }}
{{- end -}}

{{/*
Lines "server_key: value" for those of the given values that are set.
Arguments: values, then a list of "valueKey server_key kind". Kinds: int, size (bare, since the server reads a quoted
size as text and stops), duration (quoted, since 5m without quotes is five million), string, bool.
*/}}
{{- define "stan-ft.conf.lines" -}}
{{- $values := index . 0 -}}
{{- $lines := list -}}
{{- range index . 1 -}}
{{- $spec := splitList " " . -}}
{{- $value := get $values (index $spec 0) -}}
{{- $kind := index $spec 2 -}}
{{- if not (or (kindIs "invalid" $value) (and (kindIs "string" $value) (eq $value ""))) -}}
{{- $lines = append $lines (printf "%s: %s" (index $spec 1) (include "stan-ft.conf.value" (dict "kind" $kind "value" $value))) -}}
{{- end -}}
{{- end -}}
{{- join "\n" $lines -}}
{{- end -}}

{{/* One value in the server's syntax. Numbers come as float64 from files and as int64 from --set: both are written as integers. */}}
{{- define "stan-ft.conf.value" -}}
{{- if eq .kind "int" -}}
{{- int64 .value -}}
{{- else if eq .kind "size" -}}
{{- if kindIs "string" .value }}{{ lower .value }}{{ else }}{{ int64 .value }}{{ end -}}
{{- else if eq .kind "bool" -}}
{{- .value -}}
{{- else -}}
{{- quote .value -}}
{{- end -}}
{{- end -}}

{{/* A named block around lines, or nothing if there are none: name, body. */}}
{{- define "stan-ft.conf.block" -}}
{{- with .body | trim }}
{{ $.name }} {
  {{- . | nindent 2 }}
}
{{- end }}
{{- end -}}

{{- define "stan-ft.conf.limits" -}}
{{- include "stan-ft.conf.lines" (list . (list
  "maxChannels max_channels int"
  "maxSubs max_subs int"
  "maxMsgs max_msgs int"
  "maxBytes max_bytes size"
  "maxAge max_age duration"
  "maxInactivity max_inactivity duration"
)) -}}
{{- end -}}

{{- define "stan-ft.conf.storeLimits" -}}
{{ include "stan-ft.conf.limits" .Values.store.limits }}
{{- with .Values.store.limits.channels }}
channels {
{{- range $channel, $limits := . }}
  {{ quote $channel }} {
    {{- with include "stan-ft.conf.limits" $limits }}
    {{- . | nindent 4 }}
    {{- end }}
  }
{{- end }}
}
{{- end }}
{{- end -}}

{{/* What a durability preset sets, unless the file options say otherwise. */}}
{{- define "stan-ft.durability" -}}
{{- if eq .Values.store.durability "durable" -}}
syncOnFlush: true
autoSync: 1s
readBufferSize: 0
{{- else -}}
syncOnFlush: false
autoSync: 10s
{{- end -}}
{{- end -}}

{{- define "stan-ft.conf.fileOptions" -}}
{{- $options := deepCopy .Values.store.fileOptions -}}
{{- range $key, $value := include "stan-ft.durability" . | fromYaml -}}
{{- $own := get $options $key -}}
{{- if or (kindIs "invalid" $own) (eq (toString $own) "") -}}
{{- $_ := set $options $key $value -}}
{{- end -}}
{{- end -}}
{{- include "stan-ft.conf.lines" (list $options (list
  "compact compact bool"
  "compactFragmentation compact_fragmentation int"
  "compactInterval compact_interval int"
  "compactMinSize compact_min_size size"
  "bufferSize buffer_size size"
  "readBufferSize read_buffer_size size"
  "crc crc bool"
  "crcPoly crc_poly int"
  "syncOnFlush sync_on_flush bool"
  "autoSync auto_sync duration"
  "sliceMaxMsgs slice_max_msgs int"
  "sliceMaxBytes slice_max_bytes size"
  "sliceMaxAge slice_max_age duration"
  "sliceArchiveScript slice_archive_script string"
  "fileDescriptorsLimit file_descriptors_limit int"
  "parallelRecovery parallel_recovery int"
)) -}}
{{- end -}}

{{- define "stan-ft.conf.sqlOptions" -}}
{{- with .Values.store.sql -}}
driver: {{ .driver }}
source: $STAN_SQL_SOURCE
{{ include "stan-ft.conf.lines" (list . (list
  "noCaching no_caching bool"
  "maxOpenConns max_open_conns int"
  "bulkInsertLimit bulk_insert_limit int"
)) }}
{{- end -}}
{{- end -}}

{{/* How the server's own connections log in to NATS. */}}
{{- define "stan-ft.conf.login" -}}
{{- with .Values.streaming.login -}}
{{- if eq .method "password" -}}
username: $STAN_LOGIN_USERNAME
password: $STAN_LOGIN_PASSWORD
{{- else if eq .method "token" -}}
token: $STAN_LOGIN_TOKEN
{{- else if eq .method "nkey" -}}
nkey_seed_file: {{ printf "/etc/stan-login/%s" .nkeyKey | quote }}
{{- else if eq .method "credentials" -}}
credentials: {{ printf "/etc/stan-login/%s" .credentialsKey | quote }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* TLS of the server's own connections, to the embedded server or to an external one. */}}
{{- define "stan-ft.conf.ownTLS" -}}
{{- with .Values.nats -}}
{{- if .external.url -}}
{{- if .external.tls.enabled -}}
secure: true
tls {
  client_ca: {{ printf "/etc/stan-tls/nats/%s" .external.tls.caKey | quote }}
  {{- with .external.tls.certKey }}
  client_cert: {{ printf "/etc/stan-tls/nats/%s" . | quote }}
  {{- end }}
  {{- with .external.tls.keyKey }}
  client_key: {{ printf "/etc/stan-tls/nats/%s" . | quote }}
  {{- end }}
  {{- with .external.tls.serverName }}
  server_name: {{ quote . }}
  {{- end }}
}
{{- end -}}
{{- else if .tls.enabled -}}
secure: true
tls {
  client_ca: {{ printf "/etc/stan-tls/client/%s" .tls.caKey | quote }}
  {{- if or .tls.verify .tls.verifyAndMap }}
  client_cert: {{ printf "/etc/stan-tls/client/%s" .tls.certKey | quote }}
  client_key: {{ printf "/etc/stan-tls/client/%s" .tls.keyKey | quote }}
  {{- end }}
  server_name: {{ .tls.serverName | default (include "stan-ft.clientHost" $) | quote }}
}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.conf.streaming" -}}
id: {{ quote .Values.streaming.id }}
store: {{ .Values.store.type }}
{{- if eq .Values.store.type "file" }}
dir: {{ quote .Values.store.dir }}
{{- end }}
ft_group_name: {{ include "stan-ft.ftGroup" . | quote }}
{{- with .Values.nats.external.url }}
nats_server_url: {{ quote . }}
{{- end }}
{{- with include "stan-ft.conf.lines" (list .Values.streaming (list
  "discoverPrefix discover_prefix string"
  "replaceDurables replace_durables bool"
)) }}
{{ . }}
{{- end }}
{{- with include "stan-ft.conf.lines" (list .Values.streaming.heartbeat (list
  "interval hb_interval duration"
  "timeout hb_timeout duration"
  "failCount hb_fail_count int"
)) }}
{{ . }}
{{- end }}
{{- if .Values.streaming.partitioning }}
partitioning: true
{{- end }}
{{- if .Values.streaming.debug }}
stan_debug: true
{{- end }}
{{- if .Values.streaming.trace }}
stan_trace: true
{{- end }}
{{- with include "stan-ft.conf.login" . }}
{{ . }}
{{- end }}
{{- with include "stan-ft.conf.ownTLS" . }}
{{ . }}
{{- end }}
{{- if .Values.store.encryption.enabled }}
encrypt: true
{{- with .Values.store.encryption.cipher }}
encryption_cipher: {{ . }}
{{- end }}
{{- end }}
{{- if eq .Values.store.type "file" }}
{{- include "stan-ft.conf.block" (dict "name" "file_options" "body" (include "stan-ft.conf.fileOptions" .)) }}
{{- else }}
{{- include "stan-ft.conf.block" (dict "name" "sql_options" "body" (include "stan-ft.conf.sqlOptions" .)) }}
{{- end }}
{{- include "stan-ft.conf.block" (dict "name" "store_limits" "body" (include "stan-ft.conf.storeLimits" .)) }}
{{- with .Values.streaming.extraConfig | trim }}
{{ . }}
{{- end }}
{{- end -}}

{{- define "stan-ft.conf.cluster" -}}
name: {{ .Values.nats.cluster.name | default (include "stan-ft.fullname" .) | quote }}
port: {{ int64 .Values.ports.cluster }}
routes [
{{- range $ordinal := until (int .Values.replicas) }}
  {{- if $.Values.nats.cluster.auth.existingSecret }}
  $ROUTE_{{ $ordinal }}
  {{- else }}
  nats://{{ include "stan-ft.fullname" $ }}-{{ $ordinal }}.{{ include "stan-ft.podDomain" $ }}:{{ int64 $.Values.ports.cluster }}
  {{- end }}
{{- end }}
]
cluster_advertise: $CLUSTER_ADVERTISE
{{- with include "stan-ft.conf.lines" (list .Values.nats.cluster (list
  "connectRetries connect_retries int"
  "noAdvertise no_advertise bool"
)) }}
{{ . }}
{{- end }}
{{- with .Values.nats.cluster.auth }}
{{- if .existingSecret }}
authorization {
  user: $ROUTE_USERNAME
  password: $ROUTE_PASSWORD
  {{- with include "stan-ft.conf.lines" (list . (list "timeout timeout int")) }}
  {{- . | nindent 2 }}
  {{- end }}
}
{{- end }}
{{- end }}
{{- with .Values.nats.cluster.tls }}
{{- if .enabled }}
tls {
  cert_file: {{ printf "/etc/stan-tls/cluster/%s" .certKey | quote }}
  key_file: {{ printf "/etc/stan-tls/cluster/%s" .keyKey | quote }}
  ca_file: {{ printf "/etc/stan-tls/cluster/%s" .caKey | quote }}
  {{- with include "stan-ft.conf.tlsLimits" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
}
{{- end }}
{{- end }}
{{- end -}}

{{- define "stan-ft.conf.authorization" -}}
{{- with .Values.nats.auth -}}
{{- if eq .mode "password" -}}
user: $CLIENT_USERNAME
password: $CLIENT_PASSWORD
{{- else if eq .mode "token" -}}
token: $CLIENT_TOKEN
{{- else if eq .mode "users" -}}
include "../stan-auth/{{ .usersKey }}"
{{- end }}
{{ if ne .mode "none" }}{{ include "stan-ft.conf.lines" (list . (list "timeout timeout int")) }}{{ end }}
{{- end -}}
{{- end -}}

{{- define "stan-ft.conf.tls" -}}
{{- with .Values.nats.tls -}}
{{- if .enabled -}}
cert_file: {{ printf "/etc/stan-tls/client/%s" .certKey | quote }}
key_file: {{ printf "/etc/stan-tls/client/%s" .keyKey | quote }}
ca_file: {{ printf "/etc/stan-tls/client/%s" .caKey | quote }}
{{- if .verify }}
verify: true
{{- end }}
{{- if .verifyAndMap }}
verify_and_map: true
{{- end }}
{{ include "stan-ft.conf.tlsLimits" . | trim }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The embedded NATS server: everything outside of the streaming block. */}}
{{- define "stan-ft.conf.nats" -}}
http: {{ int64 .Values.ports.monitor }}
{{- if not .Values.nats.external.url }}
port: {{ int64 .Values.ports.client }}
server_name: $POD_NAME
{{- end }}
{{- with include "stan-ft.conf.lines" (list .Values.nats (list
  "clientAdvertise client_advertise string"
  "pingInterval ping_interval duration"
  "pingMax ping_max int"
  "writeDeadline write_deadline duration"
  "noSublistCache disable_sublist_cache bool"
)) }}
{{ . }}
{{- end }}
{{- with include "stan-ft.conf.lines" (list .Values.nats.limits (list
  "maxConnections max_connections int"
  "maxPayload max_payload size"
  "maxPending max_pending size"
  "maxSubscriptions max_subscriptions int"
  "maxControlLine max_control_line size"
  "maxSubscriptionTokens max_sub_tokens int"
)) }}
{{ . }}
{{- end }}
{{- with .Values.nats.logging }}
{{- if .debug }}
debug: true
{{- end }}
{{- if .trace }}
trace: true
{{- end }}
{{- with include "stan-ft.conf.lines" (list . (list
  "traceVerbose trace_verbose bool"
  "time logtime bool"
  "connectErrorReports connect_error_reports int"
  "reconnectErrorReports reconnect_error_reports int"
  "maxTracedMsgLen max_traced_msg_len int"
)) }}
{{ . }}
{{- end }}
{{- end }}
{{- if not .Values.nats.external.url }}
{{- include "stan-ft.conf.block" (dict "name" "authorization" "body" (include "stan-ft.conf.authorization" .)) }}
{{- include "stan-ft.conf.block" (dict "name" "tls" "body" (include "stan-ft.conf.tls" .)) }}
{{- with include "stan-ft.conf.lines" (list .Values.nats.tls (list "allowNonTLS allow_non_tls bool")) }}
{{ . }}
{{- end }}
{{- include "stan-ft.conf.block" (dict "name" "cluster" "body" (include "stan-ft.conf.cluster" .)) }}
{{- end }}
{{- with .Values.nats.extraConfig | trim }}
{{ . }}
{{- end }}
{{- end -}}

{{/* The whole file. */}}
{{- define "stan-ft.conf" -}}
{{- if .Values.config.override -}}
{{ tpl .Values.config.override . | trim }}
{{- else -}}
{{ include "stan-ft.conf.nats" . | trim }}
streaming {
  {{- include "stan-ft.conf.streaming" . | nindent 2 }}
}
{{- end }}
{{- end -}}
