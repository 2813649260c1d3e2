{{/*
What a schema cannot say: combinations that would lose messages, never start, or have no effect.
Each helper gives a list of problems; every message begins with the value and ends with the remedy.
*/}}

{{- define "stan-ft.validate" -}}
{{- $problems := list -}}
{{- range list "group" "config" "secrets" "override" "login" "tls" "storage" "mounts" "pod" "metrics" "live" -}}
{{- $problems = concat $problems (include (printf "stan-ft.validate.%s" .) $ | fromYamlArray) -}}
{{- end -}}
{{- include "stan-ft.refuse" $problems -}}
{{- end -}}

{{- define "stan-ft.validate.group" -}}
{{- $name := include "stan-ft.fullname" . -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$" .Values.clusterDomain) -}}
{{- include "stan-ft.problem" (printf "clusterDomain: %q is no DNS domain. Write one such as cluster.local." .Values.clusterDomain) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]{0,43}[a-z0-9])?$" $name) -}}
{{- include "stan-ft.problem" (printf "fullnameOverride: the objects would be called %q, which is no name that a Service and its pods can have (a letter, then up to 44 letters, digits or dashes). Set fullnameOverride, or install under another release name." $name) -}}
{{- end -}}
{{- if not (regexMatch "^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$" (.Values.nameOverride | default "")) -}}
{{- include "stan-ft.problem" (printf "nameOverride: %q is no value of a label (up to 63 letters, digits, dashes, dots or underscores, with a letter or digit at both ends). Set another name, or leave it empty." .Values.nameOverride) -}}
{{- end -}}
{{- if and (lt (int .Values.replicas) 2) (not .Values.allowSingleReplica) -}}
{{- include "stan-ft.problem" "replicas: one server has no standby to take over. Set replicas to 2 or more, or accept that with allowSingleReplica=true." -}}
{{- end -}}
{{- $away := toString .Values.podDisruptionBudget.maxUnavailable -}}
{{- if not (regexMatch "^[1-9][0-9]*%?$" $away) -}}
{{- include "stan-ft.problem" (printf "podDisruptionBudget.maxUnavailable: with %s no drain would ever end. Write a number or a percentage above zero." $away) -}}
{{- end -}}
{{- $most := int (regexFind "^[0-9]+" $away) -}}
{{- if and .Values.podDisruptionBudget.enabled (gt (int .Values.replicas) 1) (ge $most (hasSuffix "%" $away | ternary 100 (int .Values.replicas))) -}}
{{- include "stan-ft.problem" (printf "podDisruptionBudget.maxUnavailable: with %s of %d servers a drain may take all of them at once. Set it to 1." $away (int .Values.replicas)) -}}
{{- end -}}
{{- $spec := get (.Values.podDisruptionBudget.merge | default dict) "spec" -}}
{{- $spec = kindIs "map" $spec | ternary $spec dict -}}
{{- if and .Values.podDisruptionBudget.enabled (hasKey $spec "maxUnavailable") (not (hasKey $spec "minAvailable")) -}}
{{- include "stan-ft.problem" "podDisruptionBudget.merge.spec.maxUnavailable: it would pass unjudged. Set podDisruptionBudget.maxUnavailable instead." -}}
{{- end -}}
{{- $minimum := index $spec "minAvailable" -}}
{{- if and .Values.podDisruptionBudget.enabled (not (kindIs "invalid" $minimum)) -}}
{{- $least := toString $minimum -}}
{{- $number := int (regexFind "^[0-9]+" $least) -}}
{{- $stay := hasSuffix "%" $least | ternary (div (add (mul $number .Values.replicas) 99) 100) $number | int -}}
{{- if not (regexMatch (kindIs "string" $minimum | ternary "^[0-9]+%$" "^[0-9]+$") $least) -}}
{{- include "stan-ft.problem" (printf "podDisruptionBudget.merge.spec.minAvailable: %s is no number of servers. Write a number without quotes, or a percentage." $least) -}}
{{- else if ge $stay (int .Values.replicas) -}}
{{- include "stan-ft.problem" (printf "podDisruptionBudget.merge.spec.minAvailable: %s of %d servers would have to stay, so no drain would ever end. Set it below replicas, or use maxUnavailable." $least (int .Values.replicas)) -}}
{{- else if and (lt $stay 1) (gt (int .Values.replicas) 1) -}}
{{- include "stan-ft.problem" (printf "podDisruptionBudget.merge.spec.minAvailable: with %s of %d servers a drain may take all of them at once. Set it to %d." $least (int .Values.replicas) (sub (int .Values.replicas) 1)) -}}
{{- end -}}
{{- end -}}
{{- range $key, $_ := .Values.commonAnnotations -}}
{{- if hasPrefix "helm.sh/" $key -}}
{{- include "stan-ft.problem" (printf "commonAnnotations: with %s on every object helm would treat all of them as hooks, or keep them all. Take it out." $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The typed keys of a streaming block: context, block, map, path. */}}
{{- define "stan-ft.validate.block" -}}
{{- $kinds := get (index . 0).facts.kinds (index . 1) -}}
{{- $path := index . 3 -}}
{{- range $key, $value := index . 2 -}}
{{- $here := printf "%s.%s" $path $key -}}
{{- $kind := get $kinds $key -}}
{{- $variable := and (kindIs "string" $value) (regexMatch "^\\$[A-Za-z_][A-Za-z0-9_]*$" (toString $value)) -}}
{{- if or (kindIs "invalid" $value) $variable -}}
{{- else if and (not $kind) (hasPrefix "nats" (index $ 1)) (or (eq $key "include") (regexMatch (printf "\\$%s\\b" $key) (index $ 0).written)) -}}
{{- else if not $kind -}}
{{- include "stan-ft.problem" (printf "%s: %s" $here (include "stan-ft.validate.unknown" (list (index $ 0).facts (index $ 1) $key))) -}}
{{- else if and (eq $kind "time") (not (and $value (regexMatch "^(0|(([0-9]{1,6}(\\.[0-9]{0,6})?|\\.[0-9]{1,6})h)?(([0-9]{1,8}(\\.[0-9]{0,6})?|\\.[0-9]{1,6})m)?(([0-9]{1,9}(\\.[0-9]{0,6})?|\\.[0-9]{1,6})s)?(([0-9]{1,12}(\\.[0-9]{0,6})?|\\.[0-9]{1,6})ms)?([0-9]{1,15}(us|µs|μs))?([0-9]{1,18}ns)?)$" (toString $value)))) -}}
{{- include "stan-ft.problem" (printf "%s: %s is no duration. Write a number with its unit, such as 90s, 15m or 1h." $here (toString $value)) -}}
{{- else if and (eq $kind "number") (kindIs "string" $value) (not (regexMatch "(?i)^[0-9]+([kmgtpe]([ib]|ib)?)?$" $value)) -}}
{{- include "stan-ft.problem" (printf "%s: %s is no number of bytes. Write a whole number, or one with kb, mb or gb behind it." $here $value) -}}
{{- else if and (eq $kind "number") (kindIs "string" $value) (not (regexMatch (hasPrefix "nats" (index $ 1) | ternary "(?i)^[0-9]+[kmg]?$" "^[0-9]+$") $value)) (not (regexMatch "(bytes|size|size_limit|payload|pending|control_line|msg_len)$" $key)) -}}
{{- include "stan-ft.problem" (printf "%s: %s is read as a number of bytes, and this is a count. Write a whole number." $here $value) -}}
{{- else if and (eq $kind "number") (kindIs "string" $value) (lt (include "stan-ft.bytes" $value | int64) 0) -}}
{{- include "stan-ft.problem" (printf "%s: %s is more than the server can count. Write 0 for no limit." $here $value) -}}
{{- else if and (eq $kind "number") (not (kindIs "string" $value)) (lt (float64 $value) 0.0) -}}
{{- include "stan-ft.problem" (printf "%s: %v is below zero. Write 0 for no limit." $here $value) -}}
{{- else if eq $key "channels" -}}
{{- range $channel, $limits := $value -}}
{{- if kindIs "map" $limits -}}
{{- include "stan-ft.validate.block" (list (index $ 0) "channel_limits" $limits (printf "%s.%s" $here $channel)) -}}
{{- end -}}
{{- end -}}
{{- else if and (kindIs "map" $value) (or (hasKey (index $ 0).facts.kinds $key) (eq $key "tls")) (not (hasPrefix "nats" (index $ 1))) -}}
{{- include "stan-ft.validate.block" (list (index $ 0) (ternary "streaming_tls" $key (eq $key "tls")) $value $here) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What to write instead of a key that a block of stan.conf does not have: facts, block, key. */}}
{{- define "stan-ft.validate.unknown" -}}
{{- $kinds := (index . 0).kinds -}}
{{- $block := index . 1 -}}
{{- $small := lower (index . 2) -}}
{{- $read := eq (printf "%s %s" $block $small) "nats stan" | ternary "streaming" $small -}}
{{- $names := list $read (snakecase (index . 2)) -}}
{{- $spelled := "" -}}
{{- $below := "" -}}
{{- range $place := list (list $block "") (list "streaming" "streaming") (list "store_limits" "streaming.store_limits") (list "file_options" "streaming.file_options") (list "nats" "") (list "nats_cluster" "cluster") -}}
{{- range $name := $names -}}
{{- if and (not $spelled) (hasKey (get $kinds (first $place)) $name) -}}
{{- $spelled = get (get (index $ 0).spellings (first $place) | default dict) $name | default $name -}}
{{- $below = eq (first $place) $block | ternary "" (printf "config.%s" (last $place) | trimSuffix ".") -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $spelled (not $below) (hasKey (get $kinds $block) $read) -}}
{{- printf "the server reads it as %s, beside or instead of the chart's. Write it so." $spelled -}}
{{- else -}}
{{- printf "the server does not know this key%s, and would %s. " (ternary " here" "" (ne $below "")) (eq $block "nats_tls" | ternary "not start" "ignore it without a word") -}}
{{- if $below -}}{{- printf "Write it as %s.%s." $below $spelled -}}
{{- else if $spelled -}}{{- printf "Write it as %s." $spelled -}}
{{- else -}}Take it out, or correct its spelling.{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.validate.config" -}}
{{- $streaming := .conf.streaming -}}
{{- range .twice | default list | uniq -}}{{- include "stan-ft.problem" . -}}{{- end -}}
{{- include "stan-ft.validate.block" (list . "streaming" $streaming "config.streaming") -}}
{{- range $path, $map := dict "config" .conf "config.cluster" .conf.cluster -}}
{{- include "stan-ft.validate.block" (list $ (eq $path "config" | ternary "nats" "nats_cluster") (omit $map "streaming") $path) -}}
{{- range $key := list "tls" "authorization" -}}
{{- if kindIs "map" (get $map $key) -}}
{{- include "stan-ft.validate.block" (list $ (printf "nats_%s" $key) (get $map $key) (printf "%s.%s" $path $key)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not (regexMatch "^[A-Za-z0-9_-]+$" .cluster) -}}
{{- include "stan-ft.problem" (printf "config.streaming.id: %q is no cluster id. Use letters, digits, dashes and underscores." .cluster) -}}
{{- end -}}
{{- if not (regexMatch "^[^\\s.*>]+$" (get $streaming "ft_group_name" | toString)) -}}
{{- include "stan-ft.problem" (printf "config.streaming.ft_group_name: %q is part of a subject, and may hold no blank, dot, * or >." (get $streaming "ft_group_name" | toString)) -}}
{{- end -}}
{{- with get $streaming "discover_prefix" -}}
{{- if or (not (regexMatch "^[!-)+-=?-~]+$" .)) (contains ".." .) (hasPrefix "." .) (hasSuffix "." .) -}}
{{- include "stan-ft.problem" (printf "config.streaming.discover_prefix: %q is no subject. Use words with dots between them, without * and >." .) -}}
{{- end -}}
{{- end -}}
{{- range $path, $value := dict "config.streaming.ft_group_name" (get $streaming "ft_group_name") "config.cluster.name" .conf.cluster.name -}}
{{- if has (toString $value) (list "$POD_NAME" "$POD_UID" "$CLUSTER_ADVERTISE" "$SERVER_LOGIN") -}}
{{- include "stan-ft.problem" (printf "%s: %s differs from pod to pod, so each server would be alone. Write one text for all of them." $path $value) -}}
{{- end -}}
{{- end -}}
{{- $accounts := kindIs "map" (index .conf "accounts") | ternary (index .conf "accounts") dict -}}
{{- with get .conf "system_account" -}}
{{- if not (or (hasKey $accounts (toString .)) (hasKey $accounts "include") (hasKey $.conf "include") (hasKey $.conf "operator") (eq (toString .) "$G")) -}}
{{- include "stan-ft.problem" (printf "config.system_account: config.accounts has no account %v, and the server would not start. Add it there, or take it out." .) -}}
{{- end -}}
{{- end -}}
{{- $named := get .conf "server_name" | toString -}}
{{- if and $named (not (hasPrefix "$" $named)) (not .external) (gt (int .Values.replicas) 1) -}}
{{- include "stan-ft.problem" (printf "config.server_name: all %d servers would be called %s, and servers of one name refuse each other. Leave it out to have the pods' names." (int .Values.replicas) $named) -}}
{{- end -}}
{{- range $index, $route := .Values.config.cluster.routes -}}
{{- if not (regexMatch "^(\\$[A-Za-z_][A-Za-z0-9_]*|(nats|nats-route|tls)://[^/\\s]+)$" (toString $route)) -}}
{{- include "stan-ft.problem" (printf "config.cluster.routes[%d]: %v is no address of a server. Write one such as nats://stan-0.stan:6222." $index $route) -}}
{{- end -}}
{{- end -}}
{{- $needed := list (list .conf "server_name" "config.server_name") (list .conf.cluster "name" "config.cluster.name") (list .conf.cluster "cluster_advertise" "config.cluster.cluster_advertise") (list $streaming "store" "config.streaming.store") (list $streaming "ft_group_name" "config.streaming.ft_group_name") -}}
{{- if eq .Values.store.type "file" -}}
{{- $needed = append $needed (list $streaming "dir" "config.streaming.dir") -}}
{{- end -}}
{{- range $needed -}}
{{- if not (hasKey (index . 0) (index . 1)) -}}
{{- include "stan-ft.problem" (printf "%s: it is null, and the group cannot do without it. Leave it out to have the chart's." (index . 2)) -}}
{{- end -}}
{{- end -}}
{{- if hasKey $streaming "cluster" -}}
{{- include "stan-ft.problem" "config.streaming.cluster: it switches on Raft clustering, which excludes fault-tolerant mode. Take it out; the servers' routes are config.cluster." -}}
{{- end -}}
{{- if ne (get $streaming "store" | toString | lower) .Values.store.type -}}
{{- include "stan-ft.problem" (printf "config.streaming.store: it is %v, but store.type decides what the pods get. Take it out, and set store.type to file or sql; a memory store cannot be shared." (get $streaming "store")) -}}
{{- end -}}
{{- $channels := get ($streaming.store_limits | default dict) "channels" | default dict -}}
{{- if and $streaming.partitioning (empty $channels) -}}
{{- include "stan-ft.problem" "config.streaming.partitioning: a partitioned server serves the channels of store_limits.channels, which names none. Name them there, or set partitioning to false." -}}
{{- end -}}
{{- if and $streaming.partitioning (not .external) (empty .Values.config.cluster.routes) -}}
{{- include "stan-ft.problem" "config.streaming.partitioning: groups that share one cluster id need one NATS, and each release's embedded servers are a NATS of their own: clients would reach a part of the channels. Name the other group's servers in config.cluster.routes, or run NATS elsewhere and set config.streaming.nats_server_url in each release." -}}
{{- end -}}
{{- $literal := 0 -}}
{{- range $channel, $_ := $channels -}}
{{- if not (regexMatch "[*>]" $channel) -}}{{- $literal = add1 $literal -}}{{- end -}}
{{- end -}}
{{- $most := include "stan-ft.limit" (list . "max_channels" 100) | int -}}
{{- if and (gt $most 0) (gt (int $literal) $most) -}}
{{- include "stan-ft.problem" (printf "config.streaming.store_limits.channels: it names %d channels, max_channels allows %d, and the server would not start. Raise max_channels, or use patterns." (int $literal) $most) -}}
{{- end -}}
{{- $payload := index .conf "max_payload" -}}
{{- $payload = kindIs "invalid" $payload | ternary 1048576 $payload | include "stan-ft.bytes" | int64 -}}
{{- $pending := index .conf "max_pending" -}}
{{- $pending = kindIs "invalid" $pending | ternary 67108864 $pending | include "stan-ft.bytes" | int64 -}}
{{- if gt $payload $pending -}}
{{- include "stan-ft.problem" (printf "config.max_payload: %d bytes are more than config.max_pending (%d), and the server would not start. Lower the one or raise the other." $payload $pending) -}}
{{- end -}}
{{- range list "listen" "monitor_port" "http_port" "https" "https_port" "cluster_name" -}}
{{- if hasKey $.conf . -}}
{{- include "stan-ft.problem" (printf "config.%s: the chart makes Services and probes from config.port, config.http and config.cluster. Use those." .) -}}
{{- end -}}
{{- end -}}
{{- range list "logfile" "log_file" "pidfile" "pid_file" "ports_file_dir" -}}
{{- if and (get $.conf .) ($.Values.container.securityContext | default dict).readOnlyRootFilesystem (not $.Values.container.extraVolumeMounts) -}}
{{- include "stan-ft.problem" (printf "config.%s: the container's root file system is read-only, and the server would not start. Take it out (kubectl logs has the log), or mount a volume there with container.extraVolumeMounts." .) -}}
{{- end -}}
{{- end -}}
{{- if or (hasKey .conf.cluster "listen") (hasKey .conf.cluster "advertise") -}}
{{- include "stan-ft.problem" "config.cluster: listen and advertise would overrule the port and the name that the peers use. Set config.cluster.port." -}}
{{- end -}}
{{- $ports := dict -}}
{{- $fencing := include "stan-ft.supervised" . | empty | ternary "" .Values.fencing.port -}}
{{- range $place, $port := dict "config.port" .conf.port "config.cluster.port" .conf.cluster.port "config.http" .conf.http "fencing.port" $fencing "promExporter.port" .Values.promExporter.port -}}
{{- if not (kindIs "string" $port) -}}
{{- with get $ports (toString (int $port)) -}}
{{- include "stan-ft.problem" (printf "%s: %d is the port of %s already. Set another." $place (int $port) .) -}}
{{- end -}}
{{- $_ := set $ports (toString (int $port)) $place -}}
{{- end -}}
{{- end -}}
{{- if gt (len .written) 131072 -}}
{{- include "stan-ft.problem" "config: stan.conf is longer than 128 KiB, more than a pod can carry. Put it into a ConfigMap of your own and name that in configFile.existingConfigMap." -}}
{{- end -}}
{{- end -}}

{{/* Secrets at any depth of the configuration: context, value, path. */}}
{{- define "stan-ft.validate.secretsIn" -}}
{{- $root := index . 0 -}}
{{- $path := index . 2 -}}
{{- $value := index . 1 -}}
{{- if kindIs "map" $value -}}
{{- range $key, $below := $value -}}
{{- $here := printf "%s.%s" $path $key -}}
{{- if eq $key "include" -}}
{{- range kindIs "slice" $below | ternary $below (list $below) -}}
{{- if not (hasPrefix "/" (toString .)) -}}
{{- include "stan-ft.problem" (printf "%s: %v would be looked for beside stan.conf, where nothing else is. Write the whole path of a file that container.extraVolumeMounts brings." $here .) -}}
{{- end -}}
{{- end -}}
{{- else if and (has (lower $key) $root.facts.secrets) (not (or (kindIs "invalid" $below) (kindIs "map" $below))) -}}
{{- $name := regexFind "^\\$[A-Za-z_][A-Za-z0-9_]*$" (toString $below) | trimPrefix "$" -}}
{{- $hash := and (contains ".users" $path) (hasPrefix "$2a$" (toString $below)) -}}
{{- if and (not $hash) (or (not $name) (regexMatch (printf "(?m)^\\s*%s: [^$]" $name) $root.written)) -}}
{{- include "stan-ft.problem" (printf "%s: it would be readable by all who may read pods. Put it into a Secret and name that in auth, store.encryption or store.sql; or take it from a variable of container.env as $NAME." $here) -}}
{{- end -}}
{{- else -}}
{{- include "stan-ft.validate.secretsIn" (list $root $below $here) -}}
{{- end -}}
{{- end -}}
{{- else if kindIs "slice" $value -}}
{{- range $value -}}
{{- include "stan-ft.validate.secretsIn" (list $root . $path) -}}
{{- end -}}
{{- else if kindIs "string" $value -}}
{{- if regexMatch "://[^/@\\s]+@" $value -}}
{{- include "stan-ft.problem" (printf "%s: the login in its URL would be readable by all who may read pods. Take it out and name a Secret in auth.server, or take the whole URL from a variable of container.env as $NAME." $path) -}}
{{- else if contains "PRIVATE KEY-----" $value -}}
{{- include "stan-ft.problem" (printf "%s: a private key would be readable by all who may read pods. Put it into a Secret, and write the path of the file here that container.extraVolumeMounts brings." $path) -}}
{{- else if regexMatch "\\bS[ACNOUX][A-Z2-7]{56}\\b" $value -}}
{{- include "stan-ft.problem" (printf "%s: an NKey seed would be readable by all who may read pods. Put it into a Secret and name that in auth.server." $path) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.validate.secrets" -}}
{{- include "stan-ft.validate.secretsIn" (list . .conf "config") -}}
{{- range .Values.container.args -}}
{{- $flag := regexReplaceAll "^-+([^= ]+).*$" . "${1}" -}}
{{- if and (eq $flag "file_truncate_bad_eof") (gt (int $.Values.replicas) 1) -}}
{{- include "stan-ft.problem" "container.args: -file_truncate_bad_eof cuts files of the store and must never run on two servers. Set replicas=1 and allowSingleReplica=true for that one start, see docs/store.md." -}}
{{- end -}}
{{- if regexMatch "^(user|pass|auth|encryption_key|sql_source|tls_?client.*)$" $flag -}}
{{- include "stan-ft.problem" (printf "container.args: -%s would show its value on the monitoring port. Name a Secret in auth, store.sql or store.encryption instead." $flag) -}}
{{- else if and (regexMatch "^(l|log|P|pid)$" $flag) ($.Values.container.securityContext | default dict).readOnlyRootFilesystem (not $.Values.container.extraVolumeMounts) -}}
{{- include "stan-ft.problem" (printf "container.args: -%s names a file, the container's root file system is read-only, and the server would not start. Take it out, or mount a volume there with container.extraVolumeMounts." $flag) -}}
{{- else if regexMatch "^(encrypt|encryption_cipher|c|config|sc|stan_config|clustered|cluster.*|routes|store|st|dir|ft_group|cid|cluster_id|ns|nats_server|a|addr|net|p|port|m|http_port|ms|https_port)$" $flag -}}
{{- include "stan-ft.problem" (printf "container.args: -%s would overrule what the chart sets or exclude fault-tolerant mode. Use the chart's own value for it." $flag) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What can be read in a whole file given as text: comments out, then keys anywhere in a line. scripts/check reads it as the server does. */}}
{{- define "stan-ft.validate.override" -}}
{{- with .Values.configFile -}}
{{- if and .override .existingConfigMap -}}
{{- include "stan-ft.problem" "configFile.override: configFile.existingConfigMap names a file too. Use one of the two." -}}
{{- end -}}
{{- if .override -}}
{{- $text := regexReplaceAll "(?m)(^|\\s)(#|//).*$" .override "" -}}
{{- $key := "(?i)(^|[\\s{,;\\[])[\"']?(%s)[\"']?(\\s*[:=]\\s*|\\s+)[\"']?" -}}
{{- if not (regexMatch (printf $key "ft_group|ft_group_name") $text) -}}
{{- include "stan-ft.problem" "configFile.override: it has no ft_group_name, so every server would be active at once. Add ft_group_name to its streaming block." -}}
{{- end -}}
{{- if regexMatch (printf "%smemory" (printf $key "store|st|store_type|storetype")) $text -}}
{{- include "stan-ft.problem" "configFile.override: a memory store cannot be shared, and the server refuses it in fault-tolerant mode. Use file or sql." -}}
{{- end -}}
{{- if or (regexMatch (printf "%s[^$\\s\"'{\\[]" (printf $key (join "|" $.facts.secrets))) $text) (regexMatch "://[^/@\\s\"']+@" $text) (regexMatch "\\bS[ACNOUX][A-Z2-7]{56}\\b|PRIVATE KEY-----" $text) -}}
{{- include "stan-ft.problem" "configFile.override: a password, token or key in it would be readable by all who may read pods. Take it from a variable of container.env as $NAME, or include a file of a Secret." -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.validate.login" -}}
{{- with .Values.auth -}}
{{- $accounts := or (hasKey $.conf "accounts") (hasKey $.conf "operator") (hasKey ($.Values.config.authorization | default dict) "users") -}}
{{- if and (ne .mode "none") (not .existingSecret) -}}
{{- include "stan-ft.problem" (printf "auth.existingSecret: mode %s needs the name of the Secret that holds the login." .mode) -}}
{{- end -}}
{{- if and (eq .mode "none") .existingSecret -}}
{{- include "stan-ft.problem" (printf "auth.mode: it is none, so the Secret %s would have no effect. Set it to password, token or users, or empty auth.existingSecret." .existingSecret) -}}
{{- end -}}
{{- if and (ne .mode "none") (hasKey $.conf "accounts") -}}
{{- include "stan-ft.problem" "auth.mode: config.accounts says who may log in. Set it to none." -}}
{{- end -}}
{{- if and (or (eq .mode "users") $accounts) (eq .server.method "none") (not $.external) (not (get ($.conf.tls | default dict) "verify_and_map")) -}}
{{- include "stan-ft.problem" "auth.server.method: with a list of users or accounts the server must know which of them it is itself, or it cannot start. Set it to password, token, nkey or credentials, with a user that may publish and subscribe to _STAN.> and _INBOX.>." -}}
{{- end -}}
{{- if and (ne .server.method "none") (not .server.existingSecret) -}}
{{- include "stan-ft.problem" (printf "auth.server.existingSecret: method %s needs the name of the Secret that holds the login." .server.method) -}}
{{- end -}}
{{- if and (ne .server.method "none") (not $.external) (ne .mode "users") (not $accounts) -}}
{{- include "stan-ft.problem" (printf "auth.server.method: auth.mode %s needs no login of its own: the embedded server lets its own connections in. Set it to none, or set auth.mode to users or write config.accounts." .mode) -}}
{{- end -}}
{{- if $.external -}}
{{- if ne .mode "none" -}}
{{- include "stan-ft.problem" "auth.mode: with config.streaming.nats_server_url clients log in to that server, not to this release. Set it to none; the servers' own login is auth.server." -}}
{{- end -}}
{{- if .routes.existingSecret -}}
{{- include "stan-ft.problem" "auth.routes.existingSecret: with config.streaming.nats_server_url this release has no routes. Empty it." -}}
{{- end -}}
{{- range splitList "," (toString $.external) -}}
{{- if not (regexMatch "^(nats|tls)://[^\\s]+$" (trim .)) -}}
{{- include "stan-ft.problem" (printf "config.streaming.nats_server_url: %s is no URL. Write nats://HOST:4222 or tls://HOST:4222, several with commas; a login belongs into auth.server." (trim .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.validate.tls" -}}
{{- $tls := .Values.tls -}}
{{- range list "client" "routes" -}}
{{- if and (get $tls .).enabled (not (get $tls .).existingSecret) (not $tls.certManager.enabled) -}}
{{- include "stan-ft.problem" (printf "tls.%s.existingSecret: TLS needs the name of the Secret with the certificate. Make the Secret and name it, or set tls.certManager.enabled=true." .) -}}
{{- end -}}
{{- if and (get $tls .).enabled $.external -}}
{{- include "stan-ft.problem" (printf "tls.%s.enabled: with config.streaming.nats_server_url this release has no such port. Set it to false; TLS to that server is tls.external." .) -}}
{{- end -}}
{{- end -}}
{{- if $tls.certManager.enabled -}}
{{- if not $tls.certManager.issuerRef.name -}}
{{- include "stan-ft.problem" "tls.certManager.issuerRef.name: it is empty. Set it to the name of the issuer." -}}
{{- end -}}
{{- if not (or $tls.client.enabled $tls.routes.enabled) -}}
{{- include "stan-ft.problem" "tls.certManager.enabled: nothing would use the certificate. Set tls.client.enabled=true or tls.routes.enabled=true too." -}}
{{- end -}}
{{- end -}}
{{- range $place, $block := dict "config.tls" (.conf.tls | default dict) "config.cluster.tls" (.conf.cluster.tls | default dict) -}}
{{- if and $block (not (hasKey $block "cert_file")) -}}
{{- include "stan-ft.problem" (printf "%s: it has no certificate, and the server would not start. Set tls.%s.enabled=true with a Secret, or write cert_file and key_file." $place (ternary "client" "routes" (eq $place "config.tls"))) -}}
{{- end -}}
{{- end -}}
{{- if and (get .conf "allow_non_tls") (not .conf.tls) -}}
{{- include "stan-ft.problem" "config.allow_non_tls: it has no effect without TLS. Set tls.client.enabled=true." -}}
{{- end -}}
{{- if and (get (.conf.tls | default dict) "verify_and_map") (ne .Values.auth.mode "users") (not (hasKey .conf "accounts")) -}}
{{- include "stan-ft.problem" "config.tls.verify_and_map: it takes the users' names from their certificates, so it needs a list of users. Set auth.mode=users." -}}
{{- end -}}
{{- with $tls.external -}}
{{- if and .enabled (not $.external) -}}
{{- include "stan-ft.problem" "tls.external.enabled: it has no effect without config.streaming.nats_server_url. TLS of the embedded servers is tls.client." -}}
{{- end -}}
{{- if and .enabled $.external (not .existingSecret) -}}
{{- include "stan-ft.problem" "tls.external.existingSecret: TLS needs the name of the Secret with the authority's certificate." -}}
{{- end -}}
{{- if ne (empty .certKey) (empty .keyKey) -}}
{{- include "stan-ft.problem" "tls.external.certKey: a client certificate and its private key (tls.external.keyKey) go together. Set both or none." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.validate.storage" -}}
{{- if and (include "stan-ft.supervised" .) .Values.image.digest (eq (base .Values.image.repository) "nats-streaming") (not (contains "alpine" (toString .Values.image.tag))) -}}
{{- include "stan-ft.problem" (printf "image.digest: the program is copied out of the image's -alpine variant, which has a shell, and a digest names one variant. Set image.tag=%s-alpine with the digest of that, or fencing.mode=off." (.Values.image.tag | default .Chart.AppVersion)) -}}
{{- end -}}
{{- $store := .Values.store -}}
{{- $mount := trimSuffix "/" .Values.persistence.mountPath -}}
{{- if eq $store.type "file" -}}
{{- if not (hasPrefix "/" $mount) -}}
{{- include "stan-ft.problem" (printf "persistence.mountPath: %s is no absolute path. Set one such as /data/stan." $mount) -}}
{{- end -}}
{{- $dir := .conf.streaming.dir | toString -}}
{{- if or (not (hasPrefix (printf "%s/" $mount) $dir)) (contains "/.." $dir) -}}
{{- include "stan-ft.problem" (printf "config.streaming.dir: %s is not below persistence.mountPath %s, so the store would not be on the shared volume, or would share its root with directories that are no channels. Set it to a directory such as %s/store." $dir $mount $mount) -}}
{{- end -}}
{{- else -}}
{{- if not $store.sql.existingSecret -}}
{{- include "stan-ft.problem" (printf "store.sql.existingSecret: the SQL store needs the name of the Secret that holds the data source name under the key %s. Make the Secret and name it." $store.sql.sourceKey) -}}
{{- end -}}
{{- if and .Values.networkPolicy.restrictEgress (empty .Values.networkPolicy.extraEgress) -}}
{{- include "stan-ft.problem" "networkPolicy.extraEgress: with networkPolicy.restrictEgress the servers could not reach their database. Add a rule for it." -}}
{{- end -}}
{{- end -}}
{{- range list "encrypt" "encryption_key" -}}
{{- if and (get $.conf.streaming .) (not $store.encryption.enabled) -}}
{{- include "stan-ft.problem" (printf "config.streaming.%s: encryption needs a key from a Secret, and an upgrade must see whether it changes. Use store.encryption." .) -}}
{{- end -}}
{{- end -}}
{{- if and $store.encryption.enabled (not $store.encryption.existingSecret) -}}
{{- include "stan-ft.problem" (printf "store.encryption.existingSecret: encryption needs the name of the Secret that holds the key under %s. Make the Secret and name it, or set store.encryption.enabled=false." $store.encryption.secretKey) -}}
{{- end -}}
{{- with .Values.persistence -}}
{{- if and (eq $store.type "file") (not .existingClaim) (ne (join "," .claim.accessModes) "ReadWriteMany") (gt (int $.Values.replicas) 1) -}}
{{- include "stan-ft.problem" (printf "persistence.claim.accessModes: %s cannot be mounted by %d servers on several nodes. Set it to [ReadWriteMany]; another access mode only goes with replicas=1 and allowSingleReplica=true." (join ", " .claim.accessModes) (int $.Values.replicas)) -}}
{{- end -}}
{{- if and (eq $store.type "file") .existingClaim .checkExistingClaim (gt (int $.Values.replicas) 1) -}}
{{- with lookup "v1" "PersistentVolumeClaim" $.Release.Namespace .existingClaim -}}
{{- if not (has "ReadWriteMany" .spec.accessModes) -}}
{{- include "stan-ft.problem" (printf "persistence.existingClaim: the claim %s has access mode %s, and %d servers on several nodes need ReadWriteMany. Use a claim with that access mode." .metadata.name (join ", " .spec.accessModes) (int $.Values.replicas)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.validate.mounts" -}}
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
{{- include "stan-ft.mountProblems" (dict "facts" $.facts "path" "persistence.staticVolume.nfs.mountOptions" "options" .nfs.mountOptions "kinds" (list "nfs") "nfs" (eq .driver "nfs")) -}}
{{- include "stan-ft.mountProblems" (dict "facts" $.facts "path" "persistence.staticVolume.efs.mountOptions" "options" .efs.mountOptions "kinds" (list "efs")) -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.validate.pod" -}}
{{- range $name, $value := .Values.container.env -}}
{{- if regexMatch "^(POD_NAME|POD_NAMESPACE|CLUSTER_ADVERTISE|NATS_STREAMING_ENCRYPTION_KEY|ROUTE_.*|STAN_LOGIN_.*|STAN_SQL_SOURCE.*|CLIENT_(USERNAME|PASSWORD|TOKEN).*)$" $name -}}
{{- include "stan-ft.problem" (printf "container.env: %s is set by the chart. Use another name, or the chart's own value for it." $name) -}}
{{- end -}}
{{- end -}}
{{- $limit := get (get (.Values.container.resources | default dict) "limits" | default dict) "memory" -}}
{{- $supervisor := include "stan-ft.supervisorMemory" . | int64 -}}
{{- $least := add $supervisor 16777216 -}}
{{- if and $limit (lt (include "stan-ft.memoryLimit" . | int64) $least) -}}
{{- include "stan-ft.problem" (printf "container.resources.limits.memory: %s is less than any server starts with%s. Set %dMi or more, better what a recovery takes (docs/what-to-expect-on-efs.md)." (toString $limit) (ternary " beside the supervisor" "" (gt $supervisor 0)) (div $least 1048576)) -}}
{{- end -}}
{{- $collect := get (.Values.container.env | default dict) "GOMEMLIMIT" -}}
{{- if and $limit (kindIs "string" $collect) -}}
{{- if gt (include "stan-ft.bytes" (trimSuffix "B" $collect) | int64) (include "stan-ft.bytes" $limit | int64) -}}
{{- include "stan-ft.problem" (printf "container.env.GOMEMLIMIT: %s is above container.resources.limits.memory (%s), so the server would be killed before it collects. Take it out: the chart derives it from the limit." $collect (toString $limit)) -}}
{{- end -}}
{{- end -}}
{{- range $path, $resources := dict "container" .Values.container.resources "promExporter" .Values.promExporter.resources "rollout" .Values.rollout.resources "tests" .Values.tests.resources -}}
{{- $most := get (get ($resources | default dict) "limits" | default dict) "memory" -}}
{{- $least := get (get ($resources | default dict) "requests" | default dict) "memory" -}}
{{- if and $most $least (gt (include "stan-ft.bytes" $least | int64) (include "stan-ft.bytes" $most | int64)) -}}
{{- include "stan-ft.problem" (printf "%s.resources.requests.memory: %v is more than the limit of %v, and no pod could be made. Lower the one or raise the other." $path $least $most) -}}
{{- end -}}
{{- end -}}
{{- with .Values.podTemplate.securityContext -}}
{{- if and .runAsNonRoot (not (kindIs "invalid" .runAsUser)) (eq (int .runAsUser) 0) -}}
{{- include "stan-ft.problem" "podTemplate.securityContext.runAsUser: 0 is root, which runAsNonRoot excludes. Set another user, or runAsNonRoot=false." -}}
{{- end -}}
{{- end -}}
{{- $tag := .Values.image.tag | default "" | toString -}}
{{- if and (include "stan-ft.supervised" .) (eq (base .Values.image.repository) "nats-streaming") (regexMatch "^latest$|(^|-)(scratch|linux|nanoserver.*|windowsservercore.*)$" $tag) -}}
{{- include "stan-ft.problem" (printf "image.tag: the program is copied out of the image's -alpine variant, and there is no %s-alpine. Set 0.25.6, or leave it empty." $tag) -}}
{{- end -}}
{{- $user := .Values.podTemplate.securityContext | default dict -}}
{{- if and .Values.persistence.volumePermissions.enabled (or (kindIs "invalid" $user.runAsUser) (kindIs "invalid" $user.runAsGroup)) -}}
{{- include "stan-ft.problem" "persistence.volumePermissions.enabled: it needs to know whom to give the store to. Set podTemplate.securityContext.runAsUser and runAsGroup." -}}
{{- end -}}
{{- include "stan-ft.validate.probes" (list .Values.container "container") -}}
{{- with .Values.networkPolicy -}}
{{- if and .restrictEgress (not .enabled) -}}
{{- include "stan-ft.problem" "networkPolicy.restrictEgress: it has no effect while networkPolicy.enabled is false. Set that to true." -}}
{{- end -}}
{{- if and .restrictEgress (empty .extraEgress) $.external -}}
{{- include "stan-ft.problem" "networkPolicy.extraEgress: with networkPolicy.restrictEgress the servers could not reach config.streaming.nats_server_url. Add a rule for it." -}}
{{- end -}}
{{- end -}}
{{- if and .Values.service.nodePort (eq .Values.service.type "ClusterIP") -}}
{{- include "stan-ft.problem" "service.nodePort: a ClusterIP Service has no port on the nodes. Set service.type to NodePort or LoadBalancer, or nodePort to null." -}}
{{- end -}}
{{- end -}}

{{/* What no probe of a server may ask: container, its path. */}}
{{- define "stan-ft.validate.probes" -}}
{{- range $name := list "startupProbe" "livenessProbe" "readinessProbe" -}}
{{- $probe := index (index $ 0) $name -}}
{{- $probe = kindIs "map" $probe | ternary $probe dict -}}
{{- $get := index $probe "httpGet" -}}
{{- $path := index (kindIs "map" $get | ternary $get dict) "path" | toString -}}
{{- if and (hasPrefix "/streaming/" $path) (ne $name "readinessProbe") -}}
{{- include "stan-ft.problem" (printf "%s.%s.httpGet.path: /streaming/* answers only after the store's recovery, so a long one would be ended again and again. Use /healthz." (index $ 1) $name) -}}
{{- else if eq $path "/streaming/isFTActive" -}}
{{- include "stan-ft.problem" (printf "%s.%s.httpGet.path: /streaming/isFTActive answers 204 on standbys, which is a success too, and standbys must be ready. Use /healthz." (index $ 1) $name) -}}
{{- end -}}
{{- $asks := list -}}
{{- range list "httpGet" "exec" "tcpSocket" "grpc" -}}
{{- if not (kindIs "invalid" (index $probe .)) -}}{{- $asks = append $asks . -}}{{- end -}}
{{- end -}}
{{- if gt (len $asks) 1 -}}
{{- include "stan-ft.problem" (printf "%s.%s: a probe asks in one way, and here are %s. Set httpGet to null, which is the chart's." (index $ 1) $name (join " and " $asks)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.validate.metrics" -}}
{{- with .Values.promExporter -}}
{{- if and .serviceMonitor.enabled .podMonitor.enabled -}}
{{- include "stan-ft.problem" "promExporter.podMonitor.enabled: with serviceMonitor.enabled every server would be scraped twice. Set one of them to false." -}}
{{- end -}}
{{- range $name, $monitor := dict "serviceMonitor" .serviceMonitor "podMonitor" .podMonitor -}}
{{- if and $monitor.interval (gt (include "stan-ft.seconds" $monitor.scrapeTimeout | int64) (include "stan-ft.seconds" $monitor.interval | int64)) -}}
{{- include "stan-ft.problem" (printf "promExporter.%s.scrapeTimeout: %s is longer than interval (%s), and Prometheus would take no monitor at all. Lower the one or raise the other." $name $monitor.scrapeTimeout $monitor.interval) -}}
{{- end -}}
{{- end -}}
{{- $known := list -}}
{{- range empty .prometheusRule.overrides | ternary list ($.Files.Get "files/alerts.yaml" | fromYamlArray) -}}
{{- $known = append $known .alert -}}
{{- end -}}
{{- range $alert, $_ := .prometheusRule.overrides -}}
{{- if not (has $alert $known) -}}
{{- include "stan-ft.problem" (printf "promExporter.prometheusRule.overrides.%s: there is no such alert. There are %s." $alert (join ", " $known)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What a release's store is, as annotations of its StatefulSet: a later change of it is refused unless it is meant. */}}
{{- define "stan-ft.identity" -}}
{{- $own := include "stan-ft.ownFile" . -}}
{{- $file := eq .Values.store.type "file" -}}
stan-ft/store-type: {{ .Values.store.type }}
stan-ft/store-id: {{ ternary "" (toString .conf.streaming.id) (not (empty $own)) | quote }}
stan-ft/store-dir: {{ ternary (toString .conf.streaming.dir) "" (and $file (empty $own)) | quote }}
stan-ft/store-encryption: {{ empty .Values.store.encryption.enabled | not | ternary (printf "%s/%s" .Values.store.encryption.existingSecret .Values.store.encryption.secretKey) "none" | quote }}
{{- end -}}

{{/* The store of a live StatefulSet as JSON: context, StatefulSet. Older charts and the recipe say it in their ConfigMap. */}}
{{- define "stan-ft.liveStore" -}}
{{- $notes := (index . 1).metadata.annotations | default dict -}}
{{- $spec := (index . 1).spec.template.spec -}}
{{- $live := dict "user" (dig "securityContext" "runAsUser" "" $spec | toString) "claim" "" "subPath" "" -}}
{{- range $volume := $spec.volumes -}}
{{- if hasKey $volume "persistentVolumeClaim" -}}
{{- $_ := set $live "claim" $volume.persistentVolumeClaim.claimName -}}
{{- range $spec.containers -}}
{{- if eq .name "stan" -}}
{{- range .volumeMounts -}}
{{- if eq .name $volume.name -}}{{- $_ := set $live "subPath" (.subPath | default "") -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- else if and (hasKey $volume "configMap") (not (hasKey $notes "stan-ft/store-id")) -}}
{{- $text := dig "data" "stan.conf" "" (lookup "v1" "ConfigMap" (index $ 0).Release.Namespace $volume.configMap.name | default dict) -}}
{{- $streaming := regexFind "(?s)streaming\\s*\\{.*" $text -}}
{{- $_ := set $live "id" (regexReplaceAll "(?s)^.*?\\b(id|cid|cluster_id)\\s*[:=]?\\s*\"?([^\\s\"]+).*$" (regexFind "(?m)^\\s*(id|cid|cluster_id)\\b.*$" $streaming) "${2}") -}}
{{- $_ := set $live "dir" (regexReplaceAll "(?s)^.*?\\b(dir|datastore)\\s*[:=]?\\s*\"?([^\\s\"]+).*$" (regexFind "(?m)^\\s*(dir|datastore)\\b.*$" $streaming) "${2}") -}}
{{- end -}}
{{- end -}}
{{- range list "type" "id" "dir" "encryption" -}}
{{- if hasKey $notes (printf "stan-ft/store-%s" .) -}}{{- $_ := set $live . (get $notes (printf "stan-ft/store-%s" .)) -}}{{- end -}}
{{- end -}}
{{- toJson $live -}}
{{- end -}}

{{/* What can never change in a live StatefulSet: context, StatefulSet. */}}
{{- define "stan-ft.validate.fixed" -}}
{{- $root := index . 0 -}}
{{- $live := (index . 1).spec -}}
{{- $selector := $live.selector.matchLabels -}}
{{- if ne (toJson $selector) (include "stan-ft.selectorLabels" $root | fromYaml | toJson) -}}
{{- $plain := eq (keys $selector | join ",") "app" -}}
{{- include "stan-ft.problem" (printf "%s: the live StatefulSet selects its pods by %s, which can never change. %s (docs/upgrade.md)." (ne $plain (empty $root.Values.adoptRecipe | not) | ternary "adoptRecipe" "nameOverride") (toJson $selector) (ne $plain (empty $root.Values.adoptRecipe | not) | ternary (printf "Set adoptRecipe=%v" $plain) "Keep the names that it was made with")) -}}
{{- end -}}
{{- $policy := $live.podManagementPolicy | default "OrderedReady" -}}
{{- if ne $policy $root.Values.statefulSet.podManagementPolicy -}}
{{- include "stan-ft.problem" (printf "statefulSet.podManagementPolicy: the live StatefulSet has %s, which can never change. Keep that, or first take the StatefulSet away without its pods: kubectl delete statefulset %s --namespace %s --cascade=orphan." $policy (index . 1).metadata.name $root.Release.Namespace) -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.validate.live" -}}
{{- $name := include "stan-ft.fullname" . -}}
{{- $file := eq .Values.store.type "file" -}}
{{- $new := dict "claim" (ternary (include "stan-ft.claimName" .) "" $file) "subPath" (ternary (.Values.persistence.subPath | default "") "" $file) "user" (index (.Values.podTemplate.securityContext | default dict) "runAsUser" | toString) -}}
{{- range $key, $value := include "stan-ft.identity" . | fromYaml -}}
{{- $_ := set $new (trimPrefix "stan-ft/store-" $key) $value -}}
{{- end -}}
{{- $values := dict "id" "config.streaming.id" "dir" "config.streaming.dir" "claim" "persistence" "subPath" "persistence.subPath" "user" "podTemplate.securityContext.runAsUser" "encryption" "store.encryption" "type" "store.type" -}}
{{- $theirs := dict "id" "could not start on the store of another id" "user" "may not read files that another user wrote" "encryption" "could not read messages that another key wrote" -}}
{{- range (lookup "apps/v1" "StatefulSet" .Release.Namespace "").items -}}
{{- $live := include "stan-ft.liveStore" (list $ .) | fromJson -}}
{{- if eq .metadata.name $name -}}
{{- include "stan-ft.validate.fixed" (list $ .) -}}
{{- range $what, $path := $values -}}
{{- $was := index $live $what -}}
{{- $is := index $new $what -}}
{{- $known := and (hasKey $live $what) (or (has $what (list "subPath")) (and (ne (toString $was) "") (ne (toString $is) ""))) -}}
{{- if and $known (ne (toString $was) (toString $is)) (not (and (eq $what "user") (or (empty $was) (kindIs "invalid" $.Values.podTemplate.securityContext.runAsUser)))) (not (has $what ($.Values.store.acceptChanges | default list))) -}}
{{- include "stan-ft.problem" (printf "%s: the live release has %q here, and these values say %q: the servers %s. Keep it, or accept that with store.acceptChanges=[%s] (docs/upgrade.md)." $path (toString $was) (toString $is) (get $theirs $what | default "would begin with another store, and leave the messages behind") $what) -}}
{{- end -}}
{{- end -}}
{{- else if eq (dig "annotations" "meta.helm.sh/release-name" "" .metadata) $.Release.Name -}}
{{- include "stan-ft.problem" (printf "fullnameOverride: this release's servers are StatefulSet %s, and these values call them %s: that one would be deleted with all its pods. Set fullnameOverride=%s." .metadata.name $name .metadata.name) -}}
{{- else if and $file (eq (get $live "claim") $new.claim) (eq (get $live "subPath") $new.subPath) (eq (get $live "dir" | toString) $new.dir) (not (has .metadata.name ($.Values.store.sharedWith | default list))) -}}
{{- include "stan-ft.problem" (printf "config.streaming.dir: StatefulSet %s of this namespace keeps its store in the same directory of claim %s, and the two would take it from each other. Set another directory, or name it in store.sharedWith." .metadata.name $new.claim) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the API server would take none of, or what would part the group: context, the StatefulSet. */}}
{{- define "stan-ft.validate.made" -}}
{{- $root := index . 0 -}}
{{- $template := dig "spec" "template" dict (index . 1) -}}
{{- $pod := get $template "spec" | default dict -}}
{{- $containers := concat (get $pod "initContainers" | default list) (get $pod "containers" | default list) -}}
{{- $volumes := list -}}
{{- range get $pod "volumes" | default list -}}{{- $volumes = append $volumes (get (kindIs "map" . | ternary . dict) "name") -}}{{- end -}}
{{- range include "stan-ft.twice" (list (get $pod "volumes") "name") | fromYamlArray -}}
{{- include "stan-ft.problem" (printf "podTemplate.extraVolumes: two volumes of the pods would be called %s. Give yours another name." .) -}}
{{- end -}}
{{- range include "stan-ft.twice" (list $containers "name") | fromYamlArray -}}
{{- include "stan-ft.problem" (printf "podTemplate.extraContainers, extraInitContainers: two containers of the pods would be called %s. Give yours another name." .) -}}
{{- end -}}
{{- range $containers -}}
{{- $container := kindIs "map" . | ternary . dict -}}
{{- $name := get $container "name" | default "without a name" -}}
{{- range include "stan-ft.twice" (list (get $container "volumeMounts") "mountPath") | fromYamlArray -}}
{{- include "stan-ft.problem" (printf "container.extraVolumeMounts, persistence.mountPath: two volumes would be mounted at %s in the container %v. Mount yours elsewhere." . $name) -}}
{{- end -}}
{{- $mounts := get $container "volumeMounts" -}}
{{- range kindIs "slice" $mounts | ternary $mounts list -}}
{{- $mounted := get (kindIs "map" . | ternary . dict) "name" | default "one without a name" -}}
{{- if not (has $mounted $volumes) -}}
{{- include "stan-ft.problem" (printf "podTemplate.extraVolumes: the container %v mounts %v, and the pods have no such volume. Add it there, or take the mount out." $name $mounted) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (not $root.Values.configFile.existingConfigMap) (ne (dig "metadata" "annotations" "stan-ft/stan.conf" "" $template) $root.written) -}}
{{- include "stan-ft.problem" "podTemplate.annotations, podTemplate.merge: the annotation stan-ft/stan.conf is the server's configuration. Leave it alone, and write config or configFile.override." -}}
{{- end -}}
{{- $policy := get $pod "dnsPolicy" | default "ClusterFirst" | toString -}}
{{- if or (eq $policy "Default") (and (get $pod "hostNetwork") (eq $policy "ClusterFirst")) -}}
{{- include "stan-ft.problem" "podTemplate.merge.spec.dnsPolicy: the pods would ask their node's DNS, which does not know the names of their peers. Set it to ClusterFirstWithHostNet with hostNetwork, or leave it out." -}}
{{- end -}}
{{- end -}}

{{/* What stands more than once under a key of the maps in a list: list, key. */}}
{{- define "stan-ft.twice" -}}
{{- $key := index . 1 -}}
{{- $seen := dict -}}
{{- $twice := list -}}
{{- $list := index . 0 -}}
{{- range kindIs "slice" $list | ternary $list list -}}
{{- $value := get (kindIs "map" . | ternary . dict) $key | toString | trimSuffix "/" -}}
{{- if hasKey $seen $value -}}{{- $twice = append $twice $value -}}{{- end -}}
{{- $_ := set $seen $value true -}}
{{- end -}}
{{- $twice | uniq | toYaml -}}
{{- end -}}

{{/* What merging may not break: context, the StatefulSet. Looked at only where something is merged. */}}
{{- define "stan-ft.validate.merged" -}}
{{- $root := index . 0 -}}
{{- if or $root.Values.statefulSet.merge $root.Values.podTemplate.merge $root.Values.container.merge $root.Values.promExporter.merge -}}
{{- $made := index . 1 -}}
{{- $own := include "stan-ft.statefulSet.own" $root | fromYaml -}}
{{- range $path := list "metadata.name" "metadata.namespace" "spec.replicas" "spec.serviceName" "spec.selector" "spec.updateStrategy.type" "spec.volumeClaimTemplates" "spec.ordinals" -}}
{{- if ne (include "stan-ft.at" (list $made $path)) (include "stan-ft.at" (list $own $path)) -}}
{{- include "stan-ft.problem" (printf "statefulSet.merge.%s: the chart's other objects count on it. Take it out of merge, and use the chart's own value for it." $path) -}}
{{- end -}}
{{- end -}}
{{- range $key, $note := include "stan-ft.identity" $root | fromYaml -}}
{{- if ne (dig "metadata" "annotations" $key "" $made) $note -}}
{{- include "stan-ft.problem" (printf "statefulSet.merge.metadata.annotations: a later change of the store is noticed by %s. Take it out of merge." $key) -}}
{{- end -}}
{{- end -}}
{{- range $key, $label := include "stan-ft.selectorLabels" $root | fromYaml -}}
{{- if ne (dig "spec" "template" "metadata" "labels" $key "" $made | toString) $label -}}
{{- include "stan-ft.problem" (printf "podTemplate.merge.metadata.labels: the group is found by %s. Take it out of merge." $key) -}}
{{- end -}}
{{- end -}}
{{- $containers := dict -}}
{{- range dig "spec" "template" "spec" "containers" list $made -}}
{{- if and (kindIs "map" .) (not (hasKey $containers (get (kindIs "map" . | ternary . dict) "name" | toString))) -}}{{- $_ := set $containers (get . "name" | toString) . -}}{{- end -}}
{{- end -}}
{{- $server := get $containers "stan" -}}
{{- if not $server -}}
{{- include "stan-ft.problem" "podTemplate.merge.spec.containers: a list replaces the chart's, and the container stan is not in it. Use container.merge, promExporter.merge or podTemplate.extraContainers." -}}
{{- else -}}
{{- $plain := include "stan-ft.serverContainer" $root | fromYaml -}}
{{- range list "command" "args" -}}
{{- if ne (toJson (index $server .)) (toJson (index $plain .)) -}}
{{- include "stan-ft.problem" (printf "container.merge.%s: it starts the server with the group's configuration. Take it out of merge; more arguments are container.args." .) -}}
{{- end -}}
{{- end -}}
{{- include "stan-ft.validate.probes" (list $server "container.merge") -}}
{{- $memory := "resources.limits.memory" -}}
{{- if ne (include "stan-ft.at" (list $server $memory) | trimAll "\"") (include "stan-ft.at" (list $plain $memory) | trimAll "\"") -}}
{{- include "stan-ft.problem" "container.merge.resources.limits.memory: GOMEMLIMIT follows container.resources. Set the limit there." -}}
{{- end -}}
{{- range list "env" "volumeMounts" "ports" -}}
{{- $field := . -}}
{{- range index $plain . -}}
{{- if not (has . (index $server $field | default list)) -}}
{{- include "stan-ft.problem" (printf "container.merge.%s: a list replaces the chart's, and %s is missing in it. Use container.%s." $field (.name | default .mountPath) (get (dict "env" "env" "volumeMounts" "extraVolumeMounts") $field | default "merge with all ports")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $pod := include "stan-ft.podTemplate.own" $root | fromYaml -}}
{{- range $field := list "volumes" "initContainers" -}}
{{- range index $pod.spec $field -}}
{{- if not (has . (dig "spec" "template" "spec" $field list $made)) -}}
{{- include "stan-ft.problem" (printf "podTemplate.merge.spec.%s: a list replaces the chart's, and %s is missing in it. Use podTemplate.extra%s." $field .name (ternary "Volumes" "InitContainers" (eq $field "volumes"))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
