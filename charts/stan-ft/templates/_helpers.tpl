{{/* Names, labels, images and merging: the same file in both charts but for their prefix. */}}

{{- define "stan-ft.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The labels of an object whose pods are no servers: context, component, labels of its own. The chart's own win. */}}
{{- define "stan-ft.componentLabels" -}}
{{- $root := .context -}}
{{- $fixed := dict "app.kubernetes.io/name" (include "stan-ft.name" $root) "app.kubernetes.io/instance" $root.Release.Name "app.kubernetes.io/component" .component -}}
{{- mustMergeOverwrite (dict "app.kubernetes.io/part-of" "nats-streaming") (deepCopy ($root.Values.commonLabels | default dict)) (deepCopy (.labels | default dict)) $fixed | toYaml -}}
{{- end -}}

{{/* metadata of an object: context, name, component, and optionally labels, annotations and namespace ("-" for none). */}}
{{- define "stan-ft.metadata" -}}
{{- $root := .context -}}
name: {{ .name | quote }}
{{- if ne (.namespace | default "") "-" }}
namespace: {{ .namespace | default $root.Release.Namespace | quote }}
{{- end }}
labels:
  {{- include "stan-ft.componentLabels" . | nindent 2 }}
  app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
  app.kubernetes.io/managed-by: {{ $root.Release.Service }}
  helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with mustMergeOverwrite (dict) (deepCopy ($root.Values.commonAnnotations | default dict)) (deepCopy (.annotations | default dict)) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Reference of an image: context, image, and the tag to use when it names none. */}}
{{- define "stan-ft.image" -}}
{{- $found := include "stan-ft.imageName" . -}}
{{- if not (regexMatch "^([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9._/-]+(:[A-Za-z0-9_.-]+|@sha256:[0-9a-f]{64})$" $found) -}}
{{- fail (printf "\n\nThese values cannot work:\n  - image: %s is no name of an image. The registry is a host without https://, the repository is in lower case, a tag or a digest (sha256: and 64 hexadecimal digits) must be there.\n" $found) -}}
{{- end -}}
{{- $found -}}
{{- end -}}

{{- define "stan-ft.imageName" -}}
{{- $registry := .image.registry | default .context.Values.global.imageRegistry -}}
{{- $name := ternary (printf "%s/%s" $registry .image.repository) .image.repository (not (empty $registry)) -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (toString (.image.tag | default .tag | default "")) -}}
{{- end -}}
{{- end -}}

{{/* Pull secrets of a pod: the global ones and those of the chart, named or as maps with a name. */}}
{{- define "stan-ft.imagePullSecrets" -}}
{{- $names := list -}}
{{- range concat (.Values.global.imagePullSecrets | default list) (.Values.image.pullSecrets | default list) -}}
{{- $names = append $names (kindIs "map" . | ternary (dict "name" (get (kindIs "map" . | ternary . dict) "name")) (dict "name" .)) -}}
{{- end -}}
{{- with uniq $names }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Lays a map over another, in place: below, above. A map goes into a map, null removes, anything else replaces. */}}
{{- define "stan-ft.lay" -}}
{{- $below := index . 0 -}}
{{- range $key, $value := index . 1 -}}
{{- if kindIs "invalid" $value -}}{{- $_ := unset $below $key -}}
{{- else if and (kindIs "map" $value) (kindIs "map" (get $below $key)) -}}{{- include "stan-ft.lay" (list (get $below $key) $value) -}}
{{- else -}}{{- $_ := set $below $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* An object as text with what the user merges into it: context, merge, text. */}}
{{- define "stan-ft.merged" -}}
{{- $text := index . 2 -}}
{{- with index . 1 -}}
{{- $object := fromYaml $text -}}
{{- include "stan-ft.lay" (list $object (tpl (toYaml .) (index $ 0) | fromYaml)) -}}
{{- $text = toYaml $object -}}
{{- end -}}
{{- $text -}}
{{- end -}}

{{/* One problem, as an item of a YAML list. */}}
{{- define "stan-ft.problem" -}}
{{ printf "- %s" (toJson .) }}
{{ end -}}

{{/* Refuses the values with a list of problems, if there are any. */}}
{{- define "stan-ft.refuse" -}}
{{- with . -}}
{{- fail (printf "\n\nThese values cannot work:\n  - %s\n" (join "\n  - " .)) -}}
{{- end -}}
{{- end -}}

{{/* What no values can miss, and what values are called now: problems as YAML. Everything else is judged after it. */}}
{{- define "stan-ft.present" -}}
{{- range .facts.old -}}
{{- $here := $.Values -}}
{{- range index . 0 -}}
{{- $here = index (kindIs "map" $here | ternary $here dict) . -}}
{{- end -}}
{{- if not (kindIs "invalid" $here) -}}
{{- include "stan-ft.problem" (printf "%s: it is a value of another chart. What says the same here: %s (docs/values-of-other-charts.md)." (join "." (index . 0)) (index . 1)) -}}
{{- end -}}
{{- end -}}
{{- range $key, $_ := .Values -}}
{{- if not (or (has $key $.facts.roots) (has $key $.facts.oldRoots)) -}}
{{- include "stan-ft.problem" (printf "%s: there is no such value. Take it out, or look for its name in values.yaml." $key) -}}
{{- end -}}
{{- end -}}
{{- range .facts.needed -}}
{{- $here := $.Values -}}
{{- range index . 0 -}}
{{- $here = index (kindIs "map" $here | ternary $here dict) . -}}
{{- end -}}
{{- if kindIs "invalid" $here -}}
{{- $default := index . 1 -}}
{{- include "stan-ft.problem" (printf "%s: it is null, and the chart needs it. Leave it out to have the default%s." (join "." (index . 0)) (kindIs "invalid" $default | ternary "s" (printf " %s" (toJson $default)))) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Mount options that a store must not have: facts, path of the value, options, client (nfs, efs: which of the two mounts). */}}
{{- define "stan-ft.mountProblems" -}}
{{- $version := false -}}
{{- range $option := .options -}}
{{- $plain := lower (trim (toString $option)) -}}
{{- if regexMatch "^((nfs)?vers=|v)4(\\.[0-9])?$" $plain -}}{{- $version = true -}}{{- end -}}
{{- $told := false -}}
{{- range $.facts.mounts -}}
{{- if and (not $told) (or (eq .on "") (contains .on $.client)) (regexMatch .match $plain) -}}
{{- $told = true -}}
{{- include "stan-ft.problem" (printf "%s: %s: %s." $.path $option .words) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (contains "nfs" .client) .options (not $version) -}}
{{- include "stan-ft.problem" (printf "%s: no NFS version is named, so a node may fall back to version 3, whose locks are not safe: add nfsvers=4.1." .path) -}}
{{- end -}}
{{- end -}}
