{{/* What is risky in the values, for NOTES.txt: a YAML list of sentences that name the value. */}}

{{- define "stan-ft.notes.risks" -}}
{{- $store := .Values.store -}}
{{- $options := $store.fileOptions -}}
{{- if and (eq $store.type "file") .Values.persistence.existingClaim .Values.persistence.checkExistingClaim -}}
{{- /* A list, even an empty one, comes only from a real cluster: without one (helm template) nothing is known. */ -}}
{{- if and (lookup "v1" "PersistentVolumeClaim" .Release.Namespace "") (not (lookup "v1" "PersistentVolumeClaim" .Release.Namespace .Values.persistence.existingClaim)) -}}
{{- include "stan-ft.problem" (printf "persistence.existingClaim: there is no claim %s in namespace %s yet, and the pods wait for it. Install charts/efs-provisioner there, or let this chart make a claim (persistence.existingClaim=\"\")." .Values.persistence.existingClaim .Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- if .Values.config.override -}}
{{- include "stan-ft.problem" "config.override: the values of streaming, store and nats have no effect on the file." -}}
{{- else if .Values.config.existingConfigMap -}}
{{- include "stan-ft.problem" (printf "config.existingConfigMap: the values of streaming, store and nats have no effect on the file, and a change of %s restarts no pod." .Values.config.existingConfigMap) -}}
{{- else if eq $store.type "file" -}}
{{- $preset := include "stan-ft.durability" . | fromYaml -}}
{{- $sync := kindIs "invalid" $options.syncOnFlush | ternary $preset.syncOnFlush $options.syncOnFlush -}}
{{- $every := $options.autoSync | default $preset.autoSync -}}
{{- if not $sync -}}
{{- if regexMatch "^0+(\\.0+)?[a-z]+$" $every -}}
{{- include "stan-ft.problem" "store.fileOptions.autoSync: nothing is ever written through to the volume, so a node that is lost takes acknowledged messages of any age with it." -}}
{{- else -}}
{{- include "stan-ft.problem" (printf "store.durability: a node that is lost takes up to %s of acknowledged messages with it (sync_on_flush is false)." $every) -}}
{{- end -}}
{{- end -}}
{{- if and (not $sync) .Values.persistence.staticVolume.enabled (eq .Values.persistence.staticVolume.driver "nfs") (has "sync" .Values.persistence.staticVolume.nfs.mountOptions) -}}
{{- include "stan-ft.problem" "persistence.staticVolume.nfs.mountOptions: sync takes the throughput preset's speed away again. Leave it out." -}}
{{- end -}}
{{- if eq (toString $options.crc) "false" -}}
{{- include "stan-ft.problem" "store.fileOptions.crc: damaged messages are delivered as they are." -}}
{{- end -}}
{{- if and $store.limits.maxAge (not $options.sliceMaxAge) -}}
{{- include "stan-ft.problem" "store.fileOptions.sliceMaxAge: a quiet channel keeps its expired messages until a slice is full. Set it to a quarter of store.limits.maxAge." -}}
{{- end -}}
{{- $limit := get ((.Values.resources | default dict).limits | default dict) "memory" -}}
{{- $buffers := mul 2 (include "stan-ft.limit" (list $store.limits.maxChannels 100) | int64) (kindIs "invalid" $options.bufferSize | ternary 2097152 $options.bufferSize | include "stan-ft.bytes" | int64) -}}
{{- if and $limit (gt $buffers (include "stan-ft.bytes" $limit | int64)) -}}
{{- include "stan-ft.problem" (printf "resources.limits.memory: %s is less than the write buffers may take (2 x store.limits.maxChannels x store.fileOptions.bufferSize = %d MiB), and a server that is killed for it is killed again after each takeover." (toString $limit) (div $buffers 1048576)) -}}
{{- end -}}
{{- end -}}
{{- if and (or $store.limits.maxAge $store.limits.maxMsgs $store.limits.maxBytes) (not .Values.config.override) (not .Values.config.existingConfigMap) -}}
{{- $limits := list -}}
{{- with $store.limits.maxAge }}{{ $limits = append $limits (printf "maxAge %s" .) }}{{ end -}}
{{- with $store.limits.maxMsgs }}{{ $limits = append $limits (printf "maxMsgs %d" (int64 .)) }}{{ end -}}
{{- with $store.limits.maxBytes }}{{ $limits = append $limits (printf "maxBytes %v" .) }}{{ end -}}
{{- include "stan-ft.problem" (printf "store.limits: per channel, the oldest messages are dropped without a word at %s, delivered or not." (join ", " $limits)) -}}
{{- end -}}
{{- if lt (int .Values.replicas) 2 -}}
{{- include "stan-ft.problem" "replicas: there is no standby." -}}
{{- end -}}
{{- if not .Values.livenessProbe.enabled -}}
{{- include "stan-ft.problem" "livenessProbe.enabled: nothing ends a hung active, which keeps the lock of the store for ever." -}}
{{- end -}}
{{- if ne .Values.antiAffinity.preset "hard" -}}
{{- include "stan-ft.problem" (printf "antiAffinity.preset: with %s, servers may share a node and be lost together." .Values.antiAffinity.preset) -}}
{{- end -}}
{{- if not .Values.podDisruptionBudget.enabled -}}
{{- include "stan-ft.problem" "podDisruptionBudget.enabled: a drain may take all servers at once." -}}
{{- end -}}
{{- if and (eq .Values.nats.auth.mode "none") (not .Values.nats.external.url) (not .Values.nats.tls.verify) -}}
{{- include "stan-ft.problem" "nats.auth.mode: whoever reaches the client port may publish, read and delete. See docs/security.md." -}}
{{- end -}}
{{- if and (ne .Values.nats.auth.mode "none") (not .Values.nats.cluster.auth.existingSecret) (not .Values.nats.cluster.tls.enabled) (not .Values.networkPolicy.enabled) (not .Values.nats.external.url) -}}
{{- include "stan-ft.problem" "nats.cluster: clients log in, but whoever reaches the route port needs no login. Set nats.cluster.auth or nats.cluster.tls, or networkPolicy.enabled=true." -}}
{{- end -}}
{{- if and .Values.store.encryption.enabled (not .Values.store.encryption.cipher) -}}
{{- include "stan-ft.problem" "store.encryption.cipher: each server chooses by its processor; name one where nodes differ." -}}
{{- end -}}
{{- range list "jetstream" "websocket" "ws" "mqtt" "leafnodes" "leaf" "gateway" -}}
{{- if regexMatch (printf "(?im)^\\s*%s\\s*[:{=]" .) $.Values.nats.extraConfig -}}
{{- include "stan-ft.problem" (printf "nats.extraConfig: the %s of NATS 2.9 has published flaws that are not mended any more." .) -}}
{{- end -}}
{{- end -}}
{{- if .Values.persistence.volumePermissions.enabled -}}
{{- include "stan-ft.problem" "persistence.volumePermissions.enabled: the pods run a root init container and break the Pod Security Standard restricted. Switch it off again after the first start." -}}
{{- end -}}
{{- if include "stan-ft.guard.enabled" . -}}
{{- include "stan-ft.problem" "guard.enabled: a container of each pod runs as root with the capability SYS_PTRACE and breaks the Pod Security Standards restricted and baseline, so the namespace has to allow privileged." -}}
{{- end -}}
{{- if regexMatch "^.*v?0\\.(17|18|19|[2-9][0-9])\\." (printf "x%s" .Values.metrics.image.tag) -}}
{{- include "stan-ft.problem" "metrics.image.tag: exporters after 0.16.0 do not know NATS Streaming and refuse to start with its flags." -}}
{{- end -}}
{{- end -}}
