{{/* The exporter container beside each server, and what monitors, alerts and the dashboard share. */}}

{{- define "stan-ft.metrics.container" -}}
- name: metrics
  image: {{ include "stan-ft.image" (dict "context" . "image" .Values.metrics.image "tag" "") | quote }}
  imagePullPolicy: {{ .Values.metrics.image.pullPolicy }}
  args:
    {{- toYaml .Values.metrics.flags | nindent 4 }}
    - -port={{ int64 .Values.ports.metrics }}
    - -ri={{ int64 .Values.metrics.retryIntervalSeconds }}
    - http://localhost:{{ int64 .Values.ports.monitor }}
  ports:
    - name: metrics
      containerPort: {{ int64 .Values.ports.metrics }}
  {{- with .Values.metrics.livenessProbe }}
  {{- if .enabled }}
  # Its port, not its metrics: those wait for the server, and a server that recovers its store is silent for long.
  livenessProbe:
    tcpSocket:
      port: metrics
    periodSeconds: {{ int64 .periodSeconds }}
    timeoutSeconds: {{ int64 .timeoutSeconds }}
    failureThreshold: {{ int64 .failureThreshold }}
  {{- end }}
  {{- end }}
  {{- with .Values.metrics.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.metrics.securityContext | default .Values.containerSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* Pod annotations for a Prometheus without the operator; none where a monitor would count the pods again. */}}
{{- define "stan-ft.metrics.podAnnotations" -}}
{{- with .Values.metrics -}}
{{- if and .enabled .scrapeAnnotations (not .serviceMonitor.enabled) (not .podMonitor.enabled) -}}
prometheus.io/scrape: "true"
prometheus.io/port: {{ int64 $.Values.ports.metrics | quote }}
prometheus.io/path: /metrics
{{- end -}}
{{- end -}}
{{- end -}}

{{/* metadata of a monitoring object: context, section (with namespace, labels, annotations), suffix of the name. */}}
{{- define "stan-ft.metrics.metadata" -}}
{{ include "stan-ft.metadata" (dict "context" .context "name" (printf "%s%s" (include "stan-ft.fullname" .context) .suffix) "labels" .section.labels "annotations" .section.annotations) }}
{{- with .section.namespace }}
namespace: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* The one endpoint of both kinds of monitor. */}}
{{- define "stan-ft.metrics.endpoint" -}}
- port: metrics
  path: /metrics
  interval: {{ .interval | quote }}
  scrapeTimeout: {{ .scrapeTimeout | quote }}
  {{- with .relabelings }}
  relabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .metricRelabelings }}
  metricRelabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* A size such as 256gb in bytes (factors of the server: kb 1024, k 1000); 0 for none. */}}
{{- define "stan-ft.bytes" -}}
{{- if kindIs "invalid" . -}}
0
{{- else if kindIs "string" . -}}
{{- $text := lower . | trim -}}
{{- $number := regexFind "^[0-9]+" $text | int64 -}}
{{- $unit := regexFind "[a-z]+$" $text -}}
{{- $base := ternary 1000 1024 (eq (len $unit) 1) -}}
{{- range $power, $letter := list "k" "m" "g" "t" "p" "e" -}}
{{- if hasPrefix $letter $unit -}}
{{- range until (add1 $power | int) -}}
{{- $number = mul $number $base -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $number -}}
{{- else -}}
{{- int64 . -}}
{{- end -}}
{{- end -}}

{{/* A limit that may be left to the server: value, then the server's own. */}}
{{- define "stan-ft.limit" -}}
{{- if kindIs "invalid" (index . 0) }}{{ index . 1 }}{{ else }}{{ int64 (index . 0) }}{{ end -}}
{{- end -}}

{{/* What the words in ${...} of files/alerts.yaml stand for. */}}
{{- define "stan-ft.alerts.words" -}}
{{- $limits := .Values.store.limits -}}
name: {{ include "stan-ft.fullname" . | quote }}
namespace: {{ .Release.Namespace | quote }}
servers: {{ printf "namespace=\"%s\", pod=~\"%s-[0-9]+\"" .Release.Namespace (include "stan-ft.fullname" .) | squote }}
container: stan
replicas: {{ int64 .Values.replicas | quote }}
peers: {{ include "stan-ft.peers" . | quote }}
share: {{ .Values.metrics.prometheusRule.nearLimit | quote }}
durableLag: {{ int64 .Values.metrics.prometheusRule.durableLag | quote }}
restarts: {{ int64 .Values.metrics.prometheusRule.restarts | quote }}
activeChanges: "5"
maxChannels: {{ include "stan-ft.limit" (list $limits.maxChannels 100) | quote }}
maxSubs: {{ include "stan-ft.limit" (list $limits.maxSubs 1000) | quote }}
maxMsgs: {{ include "stan-ft.limit" (list $limits.maxMsgs 1000000) | quote }}
maxBytes: {{ include "stan-ft.bytes" (kindIs "invalid" $limits.maxBytes | ternary 1024000000 $limits.maxBytes) | quote }}
claim: {{ include "stan-ft.claimName" . | quote }}
onVolume: {{ eq .Values.store.type "file" | ternary "1" "0" | quote }}
{{- end -}}
