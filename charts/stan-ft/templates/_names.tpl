{{/* Names and addresses of the group, and what every template begins with. */}}

{{/* Whether the chart makes anything; the first time also reads the configuration and judges the values. */}}
{{- define "stan-ft.wanted" -}}
{{- if not .facts -}}
{{- $_ := set . "facts" (.Files.Get "files/facts.json" | fromJson) -}}
{{- if or (kindIs "invalid" .Values.enabled) .Values.enabled -}}
{{- include "stan-ft.refuse" (include "stan-ft.present" . | fromYamlArray) -}}
{{- include "stan-ft.configure" . -}}
{{- include "stan-ft.validate" . -}}
{{- end -}}
{{- end -}}
{{- if .Values.enabled }}true{{ end -}}
{{- end -}}

{{- define "stan-ft.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains "stan" .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s-stan" .Release.Name -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.clientServiceName" -}}
{{- printf "%s-client" (include "stan-ft.fullname" .) -}}
{{- end -}}

{{- define "stan-ft.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "stan-ft.fullname" .) "default" (not (empty .Values.serviceAccount.create))) -}}
{{- end -}}

{{- define "stan-ft.claimName" -}}
{{- .Values.persistence.existingClaim | default .Values.persistence.claim.name | default (include "stan-ft.fullname" .) -}}
{{- end -}}

{{/* Name of the chart's own PersistentVolume, which is cluster-scoped: the namespace keeps releases apart. */}}
{{- define "stan-ft.staticVolumeName" -}}
{{- printf "%s-%s" .Release.Namespace (include "stan-ft.claimName" .) -}}
{{- end -}}

{{- define "stan-ft.certificateSecretName" -}}
{{- printf "%s-tls" (include "stan-ft.fullname" .) -}}
{{- end -}}

{{- define "stan-ft.clientTLSSecretName" -}}
{{- .Values.tls.client.existingSecret | default (include "stan-ft.certificateSecretName" .) -}}
{{- end -}}

{{- define "stan-ft.routesTLSSecretName" -}}
{{- .Values.tls.routes.existingSecret | default (include "stan-ft.certificateSecretName" .) -}}
{{- end -}}

{{/* Domain of the pods, such as stan.default.svc.cluster.local: fully qualified, so that no search domain is walked. */}}
{{- define "stan-ft.podDomain" -}}
{{- printf "%s.%s.svc.%s" (include "stan-ft.fullname" .) .Release.Namespace .Values.clusterDomain -}}
{{- end -}}

{{- define "stan-ft.clientHost" -}}
{{- printf "%s.%s.svc.%s" (include "stan-ft.clientServiceName" .) .Release.Namespace .Values.clusterDomain -}}
{{- end -}}

{{/* What a server's pod is selected by; a StatefulSet's selector can never change. */}}
{{- define "stan-ft.selectorLabels" -}}
{{- if .Values.adoptRecipe -}}
app: {{ include "stan-ft.fullname" . | quote }}
{{- else -}}
app.kubernetes.io/name: {{ include "stan-ft.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: server
{{- end -}}
{{- end -}}

{{/* Labels of a server's pod. No version among them: a new chart alone restarts no pod. */}}
{{- define "stan-ft.podLabels" -}}
{{- $labels := dict "app" (include "stan-ft.fullname" .) -}}
{{- include "stan-ft.componentLabels" (dict "context" . "component" "server" "labels" (mustMergeOverwrite (deepCopy (.Values.podTemplate.labels | default dict)) $labels)) -}}
{{- end -}}

{{/* metadata of an object of the servers: context, name, and optionally labels, annotations, namespace. */}}
{{- define "stan-ft.serverMetadata" -}}
{{- $labels := mustMergeOverwrite (deepCopy (.labels | default dict)) (dict "app" (include "stan-ft.fullname" .context)) -}}
{{- include "stan-ft.metadata" (mustMergeOverwrite (dict "component" "server") . (dict "labels" $labels)) -}}
{{- end -}}

{{/* The one list of ports: Services and containers are made from it. NATS begins in clear text and turns to TLS, so tcp it is. */}}
{{- define "stan-ft.serverPorts" -}}
{{- if not .external }}
- name: client
  port: {{ int64 .conf.port }}
  appProtocol: tcp
- name: cluster
  port: {{ int64 .conf.cluster.port }}
  appProtocol: tcp
{{- end }}
- name: monitor
  port: {{ int64 .conf.http }}
  appProtocol: http
{{- end -}}

{{/* Names of the pods, so that the role of the Job reaches these and no others. */}}
{{- define "stan-ft.podNames" -}}
{{- range $ordinal := until (int .Values.replicas) }}
- {{ include "stan-ft.fullname" $ }}-{{ $ordinal }}
{{- end }}
{{- end -}}

{{/* Routes that each server must have: one to every peer, none where NATS runs elsewhere. */}}
{{- define "stan-ft.peers" -}}
{{- if .external }}0{{ else }}{{ sub (int .Values.replicas) 1 }}{{ end -}}
{{- end -}}

{{/* Security of the pods of hooks and tests: the servers', without what is about volumes. */}}
{{- define "stan-ft.hookSecurityContext" -}}
{{- with omit (.Values.podTemplate.securityContext | default dict) "fsGroup" "fsGroupChangePolicy" "supplementalGroups" -}}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* A size such as 256gb or 1.5Gi in bytes (kb and Ki 1024, k 1000, as the server and Kubernetes read them); 0 for none. */}}
{{- define "stan-ft.bytes" -}}
{{- if kindIs "string" . -}}
{{- $text := lower . | trim -}}
{{- $unit := regexFind "[a-z]+$" $text -}}
{{- $number := trimSuffix $unit $text | trim | float64 -}}
{{- $base := ternary 1000.0 1024.0 (eq (len $unit) 1) -}}
{{- range $power, $letter := list "k" "m" "g" "t" "p" "e" -}}
{{- if hasPrefix $letter $unit -}}
{{- range until (add1 $power | int) -}}
{{- $number = mulf $number $base -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- int64 $number -}}
{{- else if kindIs "invalid" . -}}0
{{- else -}}{{- int64 . -}}
{{- end -}}
{{- end -}}

{{/* A duration such as 1h30m in seconds; 0 for none, and for one that is only known to the server. */}}
{{- define "stan-ft.seconds" -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9.]+(ms|us|ns|h|m|s)" (toString .) -1 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- $sum = addf $sum (mulf (trimSuffix $unit . | float64) (get (dict "h" 3600.0 "m" 60.0 "s" 1.0 "ms" 0.001) $unit | default 0.0)) -}}
{{- end -}}
{{- int64 $sum -}}
{{- end -}}
