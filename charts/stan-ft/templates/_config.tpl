{{/* stan.conf: the user's keys laid over what only the chart knows, and written by one renderer. */}}

{{/* What the user gives in the place of stan.conf: its text or the name of its ConfigMap; empty without. */}}
{{- define "stan-ft.ownFile" -}}
{{- or .Values.configFile.override .Values.configFile.existingConfigMap -}}
{{- end -}}

{{/* What only the chart knows. */}}
{{- define "stan-ft.config.own" -}}
{{- $fullname := include "stan-ft.fullname" . -}}
server_name: $POD_NAME
cluster:
  name: {{ $fullname | quote }}
  cluster_advertise: $CLUSTER_ADVERTISE
  routes:
    {{- range $ordinal := until (int .Values.replicas) }}
    {{- if $.Values.auth.routes.existingSecret }}
    - $ROUTE_{{ $ordinal }}
    {{- else }}
    - nats://{{ $fullname }}-{{ $ordinal }}.{{ include "stan-ft.podDomain" $ }}:{{ int64 $.Values.config.cluster.port }}
    {{- end }}
    {{- end }}
  {{- if .Values.auth.routes.existingSecret }}
  authorization:
    user: $ROUTE_USERNAME
    password: $ROUTE_PASSWORD
  {{- end }}
  {{- with .Values.tls.routes }}
  {{- if .enabled }}
  tls:
    cert_file: {{ printf "/etc/stan-tls/cluster/%s" .certKey | quote }}
    key_file: {{ printf "/etc/stan-tls/cluster/%s" .keyKey | quote }}
    ca_file: {{ printf "/etc/stan-tls/cluster/%s" .caKey | quote }}
  {{- end }}
  {{- end }}
{{- with .Values.auth }}
{{- if include "stan-ft.ownLogin" $ }}
authorization:
  users:
    - user: {{ eq .mode "none" | ternary "clients" "$CLIENT_USERNAME" }}
      {{- if eq .mode "password" }}
      password: $CLIENT_PASSWORD
      {{- end }}
      permissions:
        publish:
          deny: ["_STAN.ft.>"]
        subscribe:
          deny: ["_STAN.ft.>"]
    - user: $SERVER_LOGIN
      password: $SERVER_LOGIN
{{- if eq .mode "none" }}
no_auth_user: clients
{{- end }}
{{- else if eq .mode "password" }}
authorization:
  user: $CLIENT_USERNAME
  password: $CLIENT_PASSWORD
{{- else if eq .mode "token" }}
authorization:
  token: $CLIENT_TOKEN
{{- else if eq .mode "users" }}
authorization:
  include: {{ printf "/etc/stan-auth/%s" .usersKey | quote }}
{{- end }}
{{- end }}
{{- with .Values.tls.client }}
{{- if .enabled }}
tls:
  cert_file: {{ printf "/etc/stan-tls/client/%s" .certKey | quote }}
  key_file: {{ printf "/etc/stan-tls/client/%s" .keyKey | quote }}
  ca_file: {{ printf "/etc/stan-tls/client/%s" .caKey | quote }}
{{- end }}
{{- end }}
streaming:
  store: {{ .Values.store.type }}
  ft_group_name: {{ .cluster | quote }}
  {{- if eq .Values.store.type "file" }}
  dir: {{ printf "%s/%s" (trimSuffix "/" .Values.persistence.mountPath) (eq $fullname "stan" | ternary "store" $fullname) | quote }}
  file_options:
    {{- if eq .Values.store.durability "durable" }}
    sync_on_flush: true
    auto_sync: 1s
    read_buffer_size: 0
    {{- else }}
    sync_on_flush: false
    auto_sync: 10s
    {{- end }}
  {{- else }}
  sql_options:
    driver: {{ .Values.store.sql.driver }}
    source: $STAN_SQL_SOURCE
  {{- end }}
  {{- if .Values.store.encryption.enabled }}
  encrypt: true
  {{- with .Values.store.encryption.cipher }}
  encryption_cipher: {{ . }}
  {{- end }}
  {{- end }}
  {{- with .Values.auth.server }}
  {{- if include "stan-ft.ownLogin" $ }}
  username: $SERVER_LOGIN
  password: $SERVER_LOGIN
  {{- else if eq .method "password" }}
  username: $STAN_LOGIN_USERNAME
  password: $STAN_LOGIN_PASSWORD
  {{- else if eq .method "token" }}
  token: $STAN_LOGIN_TOKEN
  {{- else if eq .method "nkey" }}
  nkey_seed_file: {{ printf "/etc/stan-login/%s" .nkeyKey | quote }}
  {{- else if eq .method "credentials" }}
  credentials: {{ printf "/etc/stan-login/%s" .credentialsKey | quote }}
  {{- end }}
  {{- end }}
  {{- include "stan-ft.config.ownTLS" . | trim | nindent 2 }}
{{- end -}}

{{/*
Whether each server logs in to itself as a user of its own, so that all others can be denied the heartbeats: one forged
heartbeat ends the active (nats-streaming-server server/ft.go). Not where the values say themselves who may log in.
*/}}
{{- define "stan-ft.ownLogin" -}}
{{- $config := .Values.config -}}
{{- $said := or (hasKey $config "accounts") (hasKey $config "operator") (hasKey $config "no_auth_user") (get ($config.tls | default dict) "verify_and_map") -}}
{{- if hasKey $config "authorization" -}}
{{- $said = or $said (not (kindIs "map" $config.authorization)) (omit ($config.authorization | default dict) "timeout") -}}
{{- end -}}
{{- if and (has .Values.auth.mode (list "none" "password")) (not $said) (not .external) -}}true{{- end -}}
{{- end -}}

{{/* TLS of the server's own connections, to the embedded server or to an external one. */}}
{{- define "stan-ft.config.ownTLS" -}}
{{- with .Values.tls -}}
{{- if and $.external .external.enabled }}
secure: true
tls:
  client_ca: {{ printf "/etc/stan-tls/nats/%s" .external.caKey | quote }}
  {{- with .external.certKey }}
  client_cert: {{ printf "/etc/stan-tls/nats/%s" . | quote }}
  {{- end }}
  {{- with .external.keyKey }}
  client_key: {{ printf "/etc/stan-tls/nats/%s" . | quote }}
  {{- end }}
  {{- with .external.serverName }}
  server_name: {{ quote . }}
  {{- end }}
{{- else if .client.enabled }}
secure: true
tls:
  client_ca: {{ printf "/etc/stan-tls/client/%s" .client.caKey | quote }}
  {{- $asked := $.Values.config.tls | default dict }}
  {{- if or (get $asked "verify") (get $asked "verify_and_map") }}
  client_cert: {{ printf "/etc/stan-tls/client/%s" .client.certKey | quote }}
  client_key: {{ printf "/etc/stan-tls/client/%s" .client.keyKey | quote }}
  {{- end }}
  server_name: {{ .client.serverName | default (include "stan-ft.clientHost" $) | quote }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Takes what says nothing out of a map, in place: map, what ("" for empty texts, which leave a key to the chart, or nil). */}}
{{- define "stan-ft.config.filled" -}}
{{- $map := index . 0 -}}
{{- range $key, $value := $map -}}
{{- if kindIs "map" $value -}}{{- include "stan-ft.config.filled" (list $value (index $ 1)) -}}
{{- else if kindIs (index $ 1) $value -}}{{- if empty $value -}}{{- $_ := unset $map $key -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Gives each key of a streaming block its one spelling, in place: context, block, map, path. Maps under two spellings become one. */}}
{{- define "stan-ft.config.spell" -}}
{{- $context := index . 0 -}}
{{- $block := index . 1 -}}
{{- $map := index . 2 -}}
{{- $path := index . 3 -}}
{{- $known := get $context.facts.spellings $block | default dict -}}
{{- range $key, $value := $map -}}
{{- if kindIs "map" $value -}}
{{- $name := get $known $key | default $key -}}
{{- if eq $name "channels" -}}
{{- range $channel, $limits := $value -}}
{{- if kindIs "map" $limits -}}{{- include "stan-ft.config.spell" (list $context "channel_limits" $limits (printf "%s.%s.%s" $path $key $channel)) -}}{{- end -}}
{{- end -}}
{{- else -}}
{{- include "stan-ft.config.spell" (list $context (ternary "streaming_tls" $name (eq $name "tls")) $value (printf "%s.%s" $path $key)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $key, $value := $map -}}
{{- with get $known $key -}}
{{- $_ := unset $map $key -}}
{{- if and (kindIs "map" $value) (kindIs "map" (get $map .)) -}}
{{- $name := . -}}
{{- range $below, $text := $value -}}
{{- include "stan-ft.config.twice" (list $context $name (get $map $name) (printf "%s.%s" $path $name) $below (printf "%s.%s" $key $below) $text) -}}
{{- end -}}
{{- include "stan-ft.lay" (list (get $map .) $value) -}}
{{- else -}}
{{- include "stan-ft.config.twice" (list $context $block $map $path . $key $value) -}}
{{- $_ := set $map . $value -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Notes in .twice a key that two spellings give two values, neither of which is the chart's: context, block, map, path, key, other spelling, its value. */}}
{{- define "stan-ft.config.twice" -}}
{{- $context := index . 0 -}}
{{- $there := get (index . 2) (index . 4) -}}
{{- $default := get (get $context.facts.defaults (index . 1) | default dict) (index . 4) -}}
{{- if not (or (kindIs "invalid" $there) (kindIs "invalid" (index . 6)) (has (toString $there) (list "" (toString $default) (toString (index . 6))))) -}}
{{- $_ := set $context "twice" (append ($context.twice | default list) (printf "%s.%s: it is %v, and %s, another spelling of it, is %v. Take one out." (index . 3) (index . 4) $there (index . 5) (index . 6))) -}}
{{- end -}}
{{- end -}}

{{/* Makes .cluster (the cluster id), .conf (the whole configuration), .external (NATS runs elsewhere) and .written (stan.conf as text). */}}
{{- define "stan-ft.configure" -}}
{{- $mine := deepCopy .Values.config -}}
{{- include "stan-ft.config.filled" (list $mine "string") -}}
{{- include "stan-ft.config.spell" (list . "streaming" $mine.streaming "config.streaming") -}}
{{- $_ := set . "cluster" (get $mine.streaming "id" | toString) -}}
{{- $_ := set . "external" (get $mine.streaming "nats_server_url" | default "") -}}
{{- $conf := include "stan-ft.config.own" . | fromYaml -}}
{{- $routes := concat $conf.cluster.routes (index $mine.cluster "routes" | default list) -}}
{{- include "stan-ft.lay" (list $conf $mine) -}}
{{- include "stan-ft.config.filled" (list $conf "invalid") -}}
{{- $_ := set $conf.cluster "routes" $routes -}}
{{- range $spelling, $key := dict "http_port" "http" "monitor_port" "http" -}}
{{- with get $conf $spelling -}}
{{- include "stan-ft.config.twice" (list $ "nats" $conf "config" $key $spelling .) -}}
{{- $_ := set (unset $conf $spelling) $key . -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.store.type "file" -}}
{{- $_ := unset $conf.streaming "sql_options" -}}
{{- else -}}
{{- $_ := set $conf "streaming" (omit $conf.streaming "file_options" "dir") -}}
{{- end -}}
{{- $written := $conf -}}
{{- if .external -}}
{{- $written = omit $conf "port" "server_name" "cluster" "authorization" "tls" "allow_non_tls" -}}
{{- end -}}
{{- $_ := set . "conf" $conf -}}
{{- if .Values.configFile.override -}}
{{- $_ := set . "written" (tpl .Values.configFile.override . | trim) -}}
{{- else -}}
{{- /* A variable has to be said before it is used. */ -}}
{{- $variables := dict -}}
{{- $rest := dict -}}
{{- range $key, $value := $written -}}
{{- $_ := set (hasKey $.facts.kinds.nats (lower $key) | ternary $rest $variables) $key $value -}}
{{- end -}}
{{- $_ := set . "written" (printf "%s%s" (include "stan-ft.config.text" (list . $variables)) (include "stan-ft.config.text" (list . $rest)) | trim) -}}
{{- end -}}
{{- end -}}

{{/* A map in the server's syntax: context, map. */}}
{{- define "stan-ft.config.text" -}}
{{- range $key, $value := index . 1 -}}
{{- $name := regexMatch "^[A-Za-z_][A-Za-z0-9_]*$" $key | ternary $key (quote $key) -}}
{{- if or (kindIs "invalid" $value) (and (empty $value) (has $key (list "store_limits" "file_options" "sql_options" "authorization" "tls"))) -}}
{{- else if eq $key "include" }}
{{- /* The server looks for it from its own directory on, /etc/stan-config. */}}
{{- range kindIs "slice" $value | ternary $value (list $value) }}
include {{ regexReplaceAll "^/" (regexReplaceAll "^/etc/" (toString .) "../") "../../" | quote }}
{{- end }}
{{- else if kindIs "map" $value }}
{{ $name }} {
  {{- with include "stan-ft.config.text" (list (index $ 0) $value) | trim }}
  {{- . | nindent 2 }}
  {{- end }}
}
{{- else }}
{{ $name }}: {{ include "stan-ft.config.value" (list (index $ 0) $key $value) }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
A value in the server's syntax: context, key, value. Sizes and variables are bare: the server reads a quoted size as text
and stops. Everything else is quoted: 5m without quotes is five million.
*/}}
{{- define "stan-ft.config.value" -}}
{{- $key := index . 1 -}}
{{- $value := index . 2 -}}
{{- if kindIs "slice" $value -}}
[
{{- range $value }}
  {{ include "stan-ft.config.value" (list (index $ 0) $key .) | indent 2 | trim }}
{{- end }}
]
{{- else if kindIs "map" $value -}}
{
  {{- include "stan-ft.config.text" (list (index . 0) $value) | trim | nindent 2 }}
}
{{- else if kindIs "string" $value -}}
{{- if regexMatch "^\\$[A-Za-z_][A-Za-z0-9_]*$" $value -}}{{- $value -}}
{{- else if or (and (has $key (index . 0).facts.sizes) (regexMatch "(?i)^[0-9]+([kmgtpe]([ib]|ib)?)?$" $value)) (regexMatch "^[A-Z][A-Z0-9_]*=(?i)[0-9]+[kmgtpe]i?b$" (printf "%s=%s" $key $value)) -}}{{- lower $value -}}
{{- else -}}{{- quote $value -}}
{{- end -}}
{{- else if kindIs "bool" $value -}}{{- $value -}}
{{- else if eq (float64 $value) (float64 (int64 $value)) -}}{{- int64 $value -}}
{{- else -}}{{- $value -}}
{{- end -}}
{{- end -}}

{{/* A limit of the store that may be left to the server: context, key, the server's own. */}}
{{- define "stan-ft.limit" -}}
{{- $found := index ((index . 0).conf.streaming.store_limits | default dict) (index . 1) -}}
{{- kindIs "invalid" $found | ternary (index . 2) $found | include "stan-ft.bytes" -}}
{{- end -}}
