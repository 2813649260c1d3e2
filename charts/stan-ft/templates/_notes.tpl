{{/* What is risky in the values, for NOTES.txt: a YAML list of sentences that name the value. */}}

{{- define "stan-ft.notes.risks" -}}
{{- $store := .Values.store -}}
{{- $streaming := .conf.streaming -}}
{{- $options := $streaming.file_options | default dict -}}
{{- $limits := $streaming.store_limits | default dict -}}
{{- $file := eq $store.type "file" -}}
{{- $own := include "stan-ft.ownFile" . -}}
{{- if and $file .Values.persistence.existingClaim .Values.persistence.checkExistingClaim -}}
{{- /* A list, even an empty one, comes only from a real cluster: without one (helm template) nothing is known. */ -}}
{{- if and (lookup "v1" "PersistentVolumeClaim" .Release.Namespace "") (not (lookup "v1" "PersistentVolumeClaim" .Release.Namespace .Values.persistence.existingClaim)) -}}
{{- include "stan-ft.problem" (printf "persistence.existingClaim: there is no claim %s in namespace %s yet, and the pods wait for it. Install charts/efs-provisioner there, or let this chart make a claim (persistence.existingClaim=\"\")." .Values.persistence.existingClaim .Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- if .Values.configFile.override -}}
{{- include "stan-ft.problem" "configFile.override: the values of config have no effect on the file; ports, probes and Services are still made from them." -}}
{{- else if .Values.configFile.existingConfigMap -}}
{{- include "stan-ft.problem" (printf "configFile.existingConfigMap: the values of config have no effect on the file, and a change of %s restarts no pod." .Values.configFile.existingConfigMap) -}}
{{- else -}}
{{- range $key, $_ := .conf -}}
{{- if has $key (list "jetstream" "websocket" "ws" "mqtt" "leafnodes" "leaf" "gateway") -}}
{{- include "stan-ft.problem" (printf "config.%s: the %s of NATS 2.9 has published flaws that are not mended any more." $key $key) -}}
{{- end -}}
{{- end -}}
{{- if $file -}}
{{- $sync := get $options "sync_on_flush" -}}
{{- $every := get $options "auto_sync" | default "1m" | toString -}}
{{- if eq (toString $sync) "false" -}}
{{- if regexMatch "^0+(\\.0+)?[a-z]+$" $every -}}
{{- include "stan-ft.problem" "config.streaming.file_options.auto_sync: nothing is ever written through to the volume, so a node that is lost takes acknowledged messages of any age with it." -}}
{{- else -}}
{{- include "stan-ft.problem" (printf "store.durability: a node that is lost takes up to %s of acknowledged messages with it (sync_on_flush is false)." $every) -}}
{{- end -}}
{{- if and .Values.persistence.staticVolume.enabled (eq .Values.persistence.staticVolume.driver "nfs") (has "sync" .Values.persistence.staticVolume.nfs.mountOptions) -}}
{{- include "stan-ft.problem" "persistence.staticVolume.nfs.mountOptions: sync takes the throughput preset's speed away again. Leave it out." -}}
{{- end -}}
{{- end -}}
{{- if eq (get $options "crc" | toString) "false" -}}
{{- include "stan-ft.problem" "config.streaming.file_options.crc: damaged messages are delivered as they are." -}}
{{- end -}}
{{- $most := include "stan-ft.limit" (list . "max_channels" 100) | int64 -}}
{{- $buffer := kindIs "invalid" (index $options "buffer_size") | ternary 2097152 (index $options "buffer_size") | include "stan-ft.bytes" | int64 -}}
{{- $memory := get (get (.Values.container.resources | default dict) "limits" | default dict) "memory" -}}
{{- if and $memory (eq $most 0) -}}
{{- include "stan-ft.problem" (printf "config.streaming.store_limits.max_channels: without a limit, each channel in use may take two write buffers (%d MiB), and container.resources.limits.memory (%s) is enough for %d of them." (div (mul 2 $buffer) 1048576) (toString $memory) (div (include "stan-ft.bytes" $memory | int64) (max 1 (mul 2 $buffer)))) -}}
{{- else if and $memory (gt (mul 2 $most $buffer) (include "stan-ft.bytes" $memory | int64)) -}}
{{- include "stan-ft.problem" (printf "container.resources.limits.memory: %s is less than the write buffers may take (2 x max_channels x buffer_size = %d MiB), and a server that is killed for it is killed again after each takeover." (toString $memory) (div (mul 2 $most $buffer) 1048576)) -}}
{{- end -}}
{{- end -}}
{{- $dropped := list -}}
{{- range $key, $value := pick $limits "max_age" "max_msgs" "max_bytes" -}}
{{- if not (or (kindIs "invalid" $value) (regexMatch "^0+(\\.0+)?[a-z]*$" (toString $value))) -}}
{{- $dropped = append $dropped (printf "%s %s" $key (kindIs "string" $value | ternary $value (kindIs "string" $value | ternary 0 $value | int64 | toString))) -}}
{{- end -}}
{{- end -}}
{{- with $dropped -}}
{{- include "stan-ft.problem" (printf "config.streaming.store_limits: per channel, the oldest messages are dropped without a word at %s, delivered or not." (join ", " .)) -}}
{{- end -}}
{{- if gt (include "stan-ft.seconds" $limits.max_age | int64) 0 -}}
{{- include "stan-ft.problem" (printf "config.streaming.store_limits.max_age: a durable that is away for %s loses what was acknowledged to publishers meanwhile, and a node whose clock is ahead drops it sooner. 0s keeps all." $limits.max_age) -}}
{{- end -}}
{{- if and (get $limits "max_age") (not (get $options "slice_max_age")) $file (not (regexMatch "^0+[a-z]*$" (get $limits "max_age" | toString))) -}}
{{- include "stan-ft.problem" "config.streaming.file_options.slice_max_age: a quiet channel keeps its expired messages until a slice is full. Set it to a quarter of max_age." -}}
{{- end -}}
{{- end -}}
{{- if lt (int .Values.replicas) 2 -}}
{{- include "stan-ft.problem" "replicas: there is no standby." -}}
{{- end -}}
{{- if not .Values.container.livenessProbe -}}
{{- include "stan-ft.problem" "container.livenessProbe: nothing ends a hung active, which keeps the lock of the store for ever." -}}
{{- end -}}
{{- if ne .Values.podTemplate.antiAffinity.preset "hard" -}}
{{- include "stan-ft.problem" (printf "podTemplate.antiAffinity.preset: with %s, servers may share a node and be lost together." .Values.podTemplate.antiAffinity.preset) -}}
{{- end -}}
{{- if not .Values.podDisruptionBudget.enabled -}}
{{- include "stan-ft.problem" "podDisruptionBudget.enabled: a drain may take all servers at once." -}}
{{- end -}}
{{- $open := and (eq .Values.auth.mode "none") (not .external) (not (hasKey .conf "accounts")) -}}
{{- if and $open (not (get (.conf.tls | default dict) "verify")) -}}
{{- include "stan-ft.problem" "auth.mode: whoever reaches the client port may publish, read and delete. See docs/security.md." -}}
{{- end -}}
{{- if and (eq .Values.auth.mode "token") (not .external) -}}
{{- include "stan-ft.problem" "auth.mode: NATS cannot limit what a token may do, so each client could end the active by a forged heartbeat on _STAN.ft.>. Use password, or users that are denied it." -}}
{{- else if eq .Values.auth.mode "users" -}}
{{- include "stan-ft.problem" "auth.mode: deny every user but the servers' own to publish and subscribe _STAN.ft.>: a forged heartbeat ends the active. See docs/security.md." -}}
{{- else if not (or (include "stan-ft.ownLogin" .) .external) -}}
{{- include "stan-ft.problem" "config: it says itself who may log in. Deny every user but the servers' own to publish and subscribe _STAN.ft.>: a forged heartbeat ends the active. See docs/security.md." -}}
{{- end -}}
{{- if and (not .Values.auth.routes.existingSecret) (not .Values.tls.routes.enabled) (not .Values.networkPolicy.enabled) (not .external) -}}
{{- include "stan-ft.problem" "networkPolicy.enabled: whoever reaches the route port needs no login. Set it to true, or set auth.routes or tls.routes." -}}
{{- end -}}
{{- if and .Values.service.enabled (ne .Values.service.type "ClusterIP") (not .external) (not (get .conf "client_advertise")) (not (get .conf.cluster "no_advertise")) -}}
{{- include "stan-ft.problem" (printf "service.type: with %s, servers tell outside clients the pods' addresses, and after a takeover these reconnect to nowhere. Set config.client_advertise to the outside address, or config.cluster.no_advertise=true." .Values.service.type) -}}
{{- end -}}
{{- if and .Values.tls.certManager.enabled (not .external) (not (include "stan-ft.supervised" .)) -}}
{{- include "stan-ft.problem" "tls.certManager: without a supervisor the servers read a renewed certificate only at a restart or reload. See docs/security.md, and do one before the old one ends." -}}
{{- end -}}
{{- if and $store.encryption.enabled (not $store.encryption.cipher) -}}
{{- include "stan-ft.problem" "store.encryption.cipher: each server chooses by its processor; name one where nodes differ." -}}
{{- end -}}
{{- if .Values.persistence.volumePermissions.enabled -}}
{{- include "stan-ft.problem" "persistence.volumePermissions.enabled: the pods run a root init container and break the Pod Security Standard restricted. Switch it off again after the first start." -}}
{{- end -}}
{{- if and $file (ne (toString .Values.fencing.mode) "require") -}}
{{- $where := include "stan-ft.supervised" . | empty | ternary "" ", where its store cannot be guarded," -}}
{{- include "stan-ft.problem" (printf "fencing.mode: a server that lost its lease%s writes over messages that the next active acknowledged." $where) -}}
{{- end -}}
{{- $static := .Values.persistence.staticVolume -}}
{{- if and $file (eq (toString .Values.fencing.mode) "off") $static.enabled (eq $static.driver "nfs") (not (has "sync" $static.nfs.mountOptions)) -}}
{{- include "stan-ft.problem" "persistence.staticVolume.nfs.mountOptions: without a supervisor nothing writes the files of clients and subscriptions through, and no server starts on one that a loss of power cut. Add sync." -}}
{{- end -}}
{{- if regexMatch "^v?0\\.(1?[0-9]|2[0-3])\\." (toString .Values.image.tag) -}}
{{- include "stan-ft.problem" (printf "image.tag: server %s has no /healthz, so the probes ask its root page." .Values.image.tag) -}}
{{- end -}}
{{- if regexMatch "^.*v?0\\.(17|18|19|[2-9][0-9])\\." (printf "x%v" .Values.promExporter.image.tag) -}}
{{- include "stan-ft.problem" "promExporter.image.tag: exporters after 0.16.0 do not know NATS Streaming and refuse to start with its flags." -}}
{{- end -}}
{{- with $store.acceptChanges -}}
{{- include "stan-ft.problem" "store.acceptChanges: a later change of the store would pass unseen too. Empty it again after this upgrade." -}}
{{- end -}}
{{- end -}}
