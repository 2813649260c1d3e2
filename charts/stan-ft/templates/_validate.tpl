{{/*
What a schema cannot say: combinations that would lose messages, never start, or have no effect.
Each helper gives a list of problems; every message begins with the value and ends with the remedy.
*/}}

{{- define "stan-ft.validate" -}}
{{- $problems := list -}}
{{- range list "replicas" "store" "persistence" "volume" "streaming" "auth" "tls" "external" "config" "pod" "network" "labels" -}}
{{- $problems = concat $problems (include (printf "stan-ft.validate.%s" .) $ | fromYamlArray) -}}
{{- end -}}
{{- with $problems -}}
{{- fail (printf "\n\nThese values cannot work:\n  - %s\n" (join "\n  - " .)) -}}
{{- end -}}
{{- end -}}

{{/* One problem, as an item of a YAML list. */}}
{{- define "stan-ft.problem" -}}
{{ printf "- %s" (toJson .) }}
{{ end -}}

{{- define "stan-ft.validate.replicas" -}}
{{- $name := include "stan-ft.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]{0,43}[a-z0-9])?$" $name) -}}
{{- include "stan-ft.problem" (printf "fullnameOverride: the objects would be called %q, which is no name that a Service and its pods can have (a letter, then up to 44 letters, digits or dashes). Set fullnameOverride, or install under another release name." $name) -}}
{{- end -}}
{{- if and (lt (int .Values.replicas) 2) (not .Values.allowSingleReplica) -}}
{{- include "stan-ft.problem" "replicas: one server has no standby to take over. Set replicas to 2 or more, or accept that with allowSingleReplica=true." -}}
{{- end -}}
{{- with .Values.podDisruptionBudget -}}
{{- if and .enabled (not (kindIs "invalid" .minAvailable)) (not (kindIs "string" .minAvailable)) -}}
{{- if ge (int .minAvailable) (int $.Values.replicas) -}}
{{- include "stan-ft.problem" (printf "podDisruptionBudget.minAvailable: %d of %d servers would have to stay, so no drain would ever end. Set it below replicas, or use maxUnavailable." (int .minAvailable) (int $.Values.replicas)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.validate.store" -}}
{{- $store := .Values.store -}}
{{- if and .Values.fence.enabled (ne $store.type "file") -}}
{{- include "stan-ft.problem" "fence.enabled: the SQL store has a lock of its own, which its server looks at every second. Set it to false." -}}
{{- end -}}
{{- if and .Values.guard.enabled (ne $store.type "file") -}}
{{- include "stan-ft.problem" "guard.enabled: it locks the files of a store on a volume, and the SQL store has none. Set it to false." -}}
{{- end -}}
{{- if eq $store.type "file" -}}
{{- $mount := trimSuffix "/" .Values.persistence.mountPath -}}
{{- if or (not (hasPrefix (printf "%s/" $mount) $store.dir)) (contains "/.." $store.dir) -}}
{{- include "stan-ft.problem" (printf "store.dir: %s is not below persistence.mountPath %s, so the store would not be on the shared volume, or would share its root with directories that are no channels. Set it to a directory such as %s/store." $store.dir $mount $mount) -}}
{{- end -}}
{{- else -}}
{{- if not $store.sql.existingSecret -}}
{{- include "stan-ft.problem" (printf "store.sql.existingSecret: the SQL store needs the name of the Secret that holds the data source name under the key %s. Make the Secret and name it." $store.sql.sourceKey) -}}
{{- end -}}
{{- end -}}
{{- if and $store.encryption.enabled (not $store.encryption.existingSecret) -}}
{{- include "stan-ft.problem" (printf "store.encryption.existingSecret: encryption needs the name of the Secret that holds the key under %s. Make the Secret and name it, or set store.encryption.enabled=false." $store.encryption.secretKey) -}}
{{- end -}}
{{- $literal := 0 -}}
{{- range $channel, $limits := $store.limits.channels -}}
{{- if not (regexMatch "[*>]" $channel) -}}{{- $literal = add1 $literal -}}{{- end -}}
{{- end -}}
{{- $channels := include "stan-ft.limit" (list $store.limits.maxChannels 100) | int -}}
{{- if and (gt $channels 0) (gt (int $literal) $channels) -}}
{{- include "stan-ft.problem" (printf "store.limits.channels: it names %d channels, store.limits.maxChannels allows %d, and the server would not start. Raise maxChannels, or use patterns." (int $literal) $channels) -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.validate.persistence" -}}
{{- if eq .Values.store.type "file" -}}
{{- with .Values.persistence -}}
{{- if .existingClaim -}}
{{- if .checkExistingClaim -}}
{{- with lookup "v1" "PersistentVolumeClaim" $.Release.Namespace .existingClaim -}}
{{- if and (gt (int $.Values.replicas) 1) (not (has "ReadWriteMany" .spec.accessModes)) -}}
{{- include "stan-ft.problem" (printf "persistence.existingClaim: the claim %s has access mode %s, and %d servers on several nodes need ReadWriteMany. Use a claim with that access mode." .metadata.name (join ", " .spec.accessModes) (int $.Values.replicas)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- else if ne (join "," .claim.accessModes) "ReadWriteMany" -}}
{{- if gt (int $.Values.replicas) 1 -}}
{{- include "stan-ft.problem" (printf "persistence.claim.accessModes: %s cannot be mounted by %d servers on several nodes. Set it to [ReadWriteMany]; another access mode only goes with replicas=1 and allowSingleReplica=true." (join ", " .claim.accessModes) (int $.Values.replicas)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.validate.volume" -}}
{{- with .Values.persistence.staticVolume -}}
{{- if .enabled -}}
{{- if ne $.Values.store.type "file" -}}
{{- include "stan-ft.problem" "persistence.staticVolume.enabled: the SQL store has no volume. Set it to false, or set store.type=file." -}}
{{- end -}}
{{- if $.Values.persistence.existingClaim -}}
{{- include "stan-ft.problem" "persistence.staticVolume.enabled: the volume is for the chart's own claim, but persistence.existingClaim names another. Set persistence.existingClaim=\"\", or persistence.staticVolume.enabled=false." -}}
{{- end -}}
{{- if $.Values.persistence.claim.volumeName -}}
{{- include "stan-ft.problem" "persistence.claim.volumeName: the claim is bound to the chart's own volume when persistence.staticVolume.enabled is true. Empty one of the two." -}}
{{- end -}}
{{- if and (eq .driver "nfs") (not .nfs.server) -}}
{{- include "stan-ft.problem" "persistence.staticVolume.nfs.server: it is empty. Set it to the host name or address of the NFS server." -}}
{{- end -}}
{{- if and (eq .driver "efs-csi") (not .efs.volumeHandle) -}}
{{- include "stan-ft.problem" "persistence.staticVolume.efs.volumeHandle: it is empty. Set it to the file system's id, such as fs-0123456789abcdef0." -}}
{{- end -}}
{{- end -}}
{{- range $driver := list "nfs" "efs" -}}
{{- range (get $.Values.persistence.staticVolume $driver).mountOptions -}}
{{- if regexMatch "^(nolock|local_lock=(all|posix|flock)|(nfs)?vers=[23](\\..*)?|v[23])$" (lower .) -}}
{{- include "stan-ft.problem" (printf "persistence.staticVolume.%s.mountOptions: with %s locks are not shared between nodes, and two servers could be active at once. Take it out, and use nfsvers=4.1." $driver .) -}}
{{- else if regexMatch "^(soft|softerr|softreval)$" (lower .) -}}
{{- include "stan-ft.problem" (printf "persistence.staticVolume.%s.mountOptions: with %s a write that takes long fails and leaves a torn store. Use hard." $driver .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.validate.streaming" -}}
{{- with .Values.streaming -}}
{{- if and .partitioning (empty $.Values.store.limits.channels) -}}
{{- include "stan-ft.problem" "streaming.partitioning: a partitioned server serves the channels of store.limits.channels, which names none. Name them there, or set streaming.partitioning=false." -}}
{{- end -}}
{{- if and (ne .login.method "none") (not .login.existingSecret) -}}
{{- include "stan-ft.problem" (printf "streaming.login.existingSecret: method %s needs the name of the Secret that holds the login." .login.method) -}}
{{- end -}}
{{- if and (ne .login.method "none") (not $.Values.nats.external.url) (ne $.Values.nats.auth.mode "users") -}}
{{- include "stan-ft.problem" (printf "streaming.login.method: nats.auth.mode %s needs no login of its own: the embedded server lets its own connections in. Set it to none." $.Values.nats.auth.mode) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.validate.auth" -}}
{{- with .Values.nats.auth -}}
{{- if and (ne .mode "none") (not .existingSecret) -}}
{{- include "stan-ft.problem" (printf "nats.auth.existingSecret: mode %s needs the name of the Secret that holds the login." .mode) -}}
{{- end -}}
{{- if and (eq .mode "none") .existingSecret -}}
{{- include "stan-ft.problem" (printf "nats.auth.mode: it is none, so the Secret %s would have no effect. Set it to password, token or users, or empty nats.auth.existingSecret." .existingSecret) -}}
{{- end -}}
{{- if and (eq .mode "users") (eq $.Values.streaming.login.method "none") (not $.Values.nats.tls.verifyAndMap) -}}
{{- include "stan-ft.problem" "streaming.login.method: with nats.auth.mode users the server must know which of them it is itself, or it cannot start. Set it to password, token, nkey or credentials, with a user that may publish and subscribe to _STAN.> and _INBOX.>." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.validate.tls" -}}
{{- with .Values.nats -}}
{{- if and .tls.enabled (not .tls.existingSecret) (not .tls.certManager.enabled) -}}
{{- include "stan-ft.problem" "nats.tls.existingSecret: TLS needs the name of the Secret with the certificate. Make the Secret and name it, or set nats.tls.certManager.enabled=true." -}}
{{- end -}}
{{- if and .cluster.tls.enabled (not .cluster.tls.existingSecret) (not .tls.certManager.enabled) -}}
{{- include "stan-ft.problem" "nats.cluster.tls.existingSecret: TLS needs the name of the Secret with the certificate. Make the Secret and name it, or set nats.tls.certManager.enabled=true." -}}
{{- end -}}
{{- if .tls.certManager.enabled -}}
{{- if not .tls.certManager.issuerRef.name -}}
{{- include "stan-ft.problem" "nats.tls.certManager.issuerRef.name: it is empty. Set it to the name of the issuer." -}}
{{- end -}}
{{- if not (or .tls.enabled .cluster.tls.enabled) -}}
{{- include "stan-ft.problem" "nats.tls.certManager.enabled: nothing would use the certificate. Set nats.tls.enabled=true or nats.cluster.tls.enabled=true too." -}}
{{- end -}}
{{- end -}}
{{- if not .tls.enabled -}}
{{- range list "verify" "verifyAndMap" "allowNonTLS" -}}
{{- if get $.Values.nats.tls . -}}
{{- include "stan-ft.problem" (printf "nats.tls.%s: it has no effect without TLS. Set nats.tls.enabled=true." .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .tls.verifyAndMap (ne .auth.mode "users") -}}
{{- include "stan-ft.problem" "nats.tls.verifyAndMap: it takes the users' names from their certificates, so it needs a list of users. Set nats.auth.mode=users." -}}
{{- end -}}
{{- $payload := ternary 1048576 .limits.maxPayload (kindIs "invalid" .limits.maxPayload) | include "stan-ft.bytes" | int64 -}}
{{- $pending := ternary 67108864 .limits.maxPending (kindIs "invalid" .limits.maxPending) | include "stan-ft.bytes" | int64 -}}
{{- if gt $payload $pending -}}
{{- include "stan-ft.problem" (printf "nats.limits.maxPayload: %d bytes are more than nats.limits.maxPending (%d), and the server would not start. Lower the one or raise the other." $payload $pending) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.validate.external" -}}
{{- with .Values.nats -}}
{{- if .external.url -}}
{{- if ne .auth.mode "none" -}}
{{- include "stan-ft.problem" "nats.auth.mode: with nats.external.url clients log in to that server, not to this release. Set it to none; the servers' own login is streaming.login." -}}
{{- end -}}
{{- range list "tls" "cluster" -}}
{{- $tls := ternary $.Values.nats.tls $.Values.nats.cluster.tls (eq . "tls") -}}
{{- if $tls.enabled -}}
{{- include "stan-ft.problem" (printf "nats.%s.enabled: with nats.external.url this release has no such port. Set it to false; TLS to that server is nats.external.tls." (ternary "tls" "cluster.tls" (eq . "tls"))) -}}
{{- end -}}
{{- end -}}
{{- if .cluster.auth.existingSecret -}}
{{- include "stan-ft.problem" "nats.cluster.auth.existingSecret: with nats.external.url this release has no routes. Empty it." -}}
{{- end -}}
{{- if and .external.tls.enabled (not .external.tls.existingSecret) -}}
{{- include "stan-ft.problem" "nats.external.tls.existingSecret: TLS needs the name of the Secret with the authority's certificate." -}}
{{- end -}}
{{- if ne (empty .external.tls.certKey) (empty .external.tls.keyKey) -}}
{{- include "stan-ft.problem" "nats.external.tls.certKey: a client certificate and its private key (nats.external.tls.keyKey) go together. Set both or none." -}}
{{- end -}}
{{- else if .external.tls.enabled -}}
{{- include "stan-ft.problem" "nats.external.tls.enabled: it has no effect without nats.external.url. TLS of the embedded servers is nats.tls." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.validate.config" -}}
{{- with .Values.config -}}
{{- if and .override .existingConfigMap -}}
{{- include "stan-ft.problem" "config.override: config.existingConfigMap names a file too. Use one of the two." -}}
{{- end -}}
{{- if .override -}}
{{- if not (regexMatch "(?m)^\\s*(ft_group|ft_group_name)\\s*[:= ]" .override) -}}
{{- include "stan-ft.problem" "config.override: it has no ft_group_name, so every server would be active at once. Add ft_group_name to its streaming block." -}}
{{- end -}}
{{- if regexMatch "(?im)^\\s*(store|st|store_type|storetype)\\s*[:= ]\\s*\"?memory" .override -}}
{{- include "stan-ft.problem" "config.override: a memory store cannot be shared, and the server refuses it in fault-tolerant mode. Use file or sql." -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range regexFindAll "(?im)^\\s*(cluster|store|st|store_type|storetype|dir|datastore|id|cid|cluster_id|ft_group|ft_group_name|partitioning|encryption_key|password|pass|token)\\b" .Values.streaming.extraConfig -1 -}}
{{- $key := trim . -}}
{{- if eq (lower $key) "cluster" -}}
{{- include "stan-ft.problem" "streaming.extraConfig: a cluster block in the streaming block switches on Raft clustering, which excludes fault-tolerant mode. Take it out; routes belong to nats.cluster." -}}
{{- else if has (lower $key) (list "encryption_key" "password" "pass" "token") -}}
{{- include "stan-ft.problem" (printf "streaming.extraConfig: %s would be readable in the ConfigMap. Put it into a Secret and name that in streaming.login or store.encryption." $key) -}}
{{- else -}}
{{- include "stan-ft.problem" (printf "streaming.extraConfig: %s is written by the chart, and the server would take whichever comes last. Use the chart's own value for it." $key) -}}
{{- end -}}
{{- end -}}
{{- range regexFindAll "(?im)^\\s*(streaming|cluster|authorization|tls|http|http_port|monitor_port|port|listen|password|pass|token)\\b" .Values.nats.extraConfig -1 -}}
{{- $key := trim . -}}
{{- if has (lower $key) (list "password" "pass" "token") -}}
{{- include "stan-ft.problem" (printf "nats.extraConfig: %s would be readable in the ConfigMap. Put it into a Secret and name that in nats.auth." $key) -}}
{{- else -}}
{{- include "stan-ft.problem" (printf "nats.extraConfig: %s is written by the chart, and the server would take whichever comes last. Use the chart's own value for it." $key) -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraArgs -}}
{{- $flag := regexReplaceAll "^-+([^= ]+).*$" . "${1}" -}}
{{- if and (eq $flag "file_truncate_bad_eof") (gt (int $.Values.replicas) 1) -}}
{{- include "stan-ft.problem" "extraArgs: -file_truncate_bad_eof cuts files of the store and must never run on two servers. Set replicas=1 and allowSingleReplica=true for that one start, see docs/store.md." -}}
{{- end -}}
{{- if regexMatch "^(user|pass|auth|encryption_key|sql_source|tls_?client.*)$" $flag -}}
{{- include "stan-ft.problem" (printf "extraArgs: -%s would show its value on the monitoring port. Name a Secret in nats.auth, streaming.login, store.sql or store.encryption instead." $flag) -}}
{{- else if regexMatch "^(c|config|sc|stan_config|clustered|cluster.*|routes|store|st|dir|ft_group|cid|cluster_id|ns|nats_server|a|addr|net|p|port|m|http_port|ms|https_port|io_batch_size|io_sleep_time)$" $flag -}}
{{- include "stan-ft.problem" (printf "extraArgs: -%s would overrule what the chart sets or exclude fault-tolerant mode. Use the chart's own value for it." $flag) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.validate.pod" -}}
{{- range $name, $value := .Values.extraEnv -}}
{{- if regexMatch "^(POD_NAME|POD_NAMESPACE|CLUSTER_ADVERTISE|NATS_STREAMING_ENCRYPTION_KEY|GOMEMLIMIT|ROUTE_.*|STAN_LOGIN_.*|STAN_SQL_SOURCE.*|CLIENT_(USERNAME|PASSWORD|TOKEN).*)$" $name -}}
{{- include "stan-ft.problem" (printf "extraEnv: %s is set by the chart. Use another name, or the chart's own value for it." $name) -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraVolumes -}}
{{- if has .name (list "config-volume" "efs" "fence-script" "guard-script" "client-tls" "cluster-tls" "nats-tls" "auth" "login") -}}
{{- include "stan-ft.problem" (printf "extraVolumes: the name %s is taken by the chart. Use another name." .name) -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraVolumeMounts -}}
{{- if has .mountPath (list "/etc/stan-config" $.Values.persistence.mountPath) -}}
{{- include "stan-ft.problem" (printf "extraVolumeMounts: %s is taken by the chart. Use another mountPath." .mountPath) -}}
{{- end -}}
{{- end -}}
{{- range $list := list "initContainers" "sidecars" -}}
{{- range get $.Values $list -}}
{{- if has .name (list "stan" "fence" "guard" "metrics" "volume-permissions") -}}
{{- include "stan-ft.problem" (printf "%s: the name %s is taken by the chart. Use another name." $list .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.podSecurityContext -}}
{{- if and .runAsNonRoot (not (kindIs "invalid" .runAsUser)) (eq (int .runAsUser) 0) -}}
{{- include "stan-ft.problem" "podSecurityContext.runAsUser: 0 is root, which podSecurityContext.runAsNonRoot excludes. Set another user, or runAsNonRoot=false." -}}
{{- end -}}
{{- end -}}
{{- if and .Values.persistence.volumePermissions.enabled (or (kindIs "invalid" .Values.podSecurityContext.runAsUser) (kindIs "invalid" .Values.podSecurityContext.runAsGroup)) -}}
{{- include "stan-ft.problem" "persistence.volumePermissions.enabled: it needs to know whom to give the store to. Set podSecurityContext.runAsUser and runAsGroup." -}}
{{- end -}}
{{- $ports := dict -}}
{{- range $name, $port := .Values.ports -}}
{{- with get $ports (toString (int $port)) -}}
{{- include "stan-ft.problem" (printf "ports.%s: %d is the port of ports.%s already. Set another." $name (int $port) .) -}}
{{- end -}}
{{- $_ := set $ports (toString (int $port)) $name -}}
{{- end -}}
{{- with .Values.resources -}}
{{- if and $.Values.goMemoryLimit (not (get (.limits | default dict) "memory")) -}}
{{- include "stan-ft.problem" "goMemoryLimit: it follows resources.limits.memory, which is not set. Set that limit, or goMemoryLimit=\"\"." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.validate.network" -}}
{{- with .Values.clientService -}}
{{- if .enabled -}}
{{- if and .nodePort (eq .type "ClusterIP") -}}
{{- include "stan-ft.problem" "clientService.nodePort: a ClusterIP Service has no port on the nodes. Set clientService.type to NodePort or LoadBalancer, or nodePort to null." -}}
{{- end -}}
{{- if and .externalTrafficPolicy (eq .type "ClusterIP") -}}
{{- include "stan-ft.problem" "clientService.externalTrafficPolicy: a ClusterIP Service has no outside traffic. Set clientService.type to NodePort or LoadBalancer, or empty it." -}}
{{- end -}}
{{- range list "loadBalancerClass" "loadBalancerSourceRanges" -}}
{{- if and (get $.Values.clientService .) (ne $.Values.clientService.type "LoadBalancer") -}}
{{- include "stan-ft.problem" (printf "clientService.%s: only a LoadBalancer Service has one. Set clientService.type=LoadBalancer, or empty it." .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.networkPolicy -}}
{{- if and .enabled .restrictEgress (empty .extraEgress) -}}
{{- if eq $.Values.store.type "sql" -}}
{{- include "stan-ft.problem" "networkPolicy.extraEgress: with networkPolicy.restrictEgress the servers could not reach their database. Add a rule for it." -}}
{{- end -}}
{{- if $.Values.nats.external.url -}}
{{- include "stan-ft.problem" "networkPolicy.extraEgress: with networkPolicy.restrictEgress the servers could not reach nats.external.url. Add a rule for it." -}}
{{- end -}}
{{- end -}}
{{- if and .restrictEgress (not .enabled) -}}
{{- include "stan-ft.problem" "networkPolicy.restrictEgress: it has no effect while networkPolicy.enabled is false. Set that to true." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.validate.labels" -}}
{{- $places := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels "service.labels" .Values.service.labels "clientService.labels" .Values.clientService.labels "persistence.claim.labels" .Values.persistence.claim.labels -}}
{{- range list "serviceMonitor" "podMonitor" "prometheusRule" "dashboard" -}}
{{- $_ := set $places (printf "metrics.%s.labels" .) (get $.Values.metrics .).labels -}}
{{- end -}}
{{- range $place, $labels := $places -}}
{{- range $key, $_ := $labels -}}
{{- if has $key (list "app" "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart") -}}
{{- include "stan-ft.problem" (printf "%s: the label %s is written by the chart, which finds its objects by it. Use another label; names are changed by nameOverride and fullnameOverride." $place $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $key, $_ := .Values.commonAnnotations -}}
{{- if hasPrefix "helm.sh/" $key -}}
{{- include "stan-ft.problem" (printf "commonAnnotations: with %s on every object helm would treat all of them as hooks, or keep them all. Take it out." $key) -}}
{{- end -}}
{{- end -}}
{{- range $key, $_ := .Values.metrics.prometheusRule.alertLabels -}}
{{- if has $key (list "severity" "namespace" "stan") -}}
{{- include "stan-ft.problem" (printf "metrics.prometheusRule.alertLabels: the label %s is written by the chart. Use another label; severities are changed by metrics.prometheusRule.severities." $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
