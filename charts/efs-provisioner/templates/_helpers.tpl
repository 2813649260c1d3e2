{{/* Names, labels, images and merging: the same file in both charts but for their prefix. */}}

{{- define "efs-provisioner.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The labels of an object whose pods are no servers: context, component, labels of its own. The chart's own win. */}}
{{- define "efs-provisioner.componentLabels" -}}
{{- $root := .context -}}
{{- $fixed := dict "app.kubernetes.io/name" (include "efs-provisioner.name" $root) "app.kubernetes.io/instance" $root.Release.Name "app.kubernetes.io/component" .component -}}
{{- $labels := dict "app.kubernetes.io/part-of" "nats-streaming" -}}
{{- range list $root.Values.commonLabels .labels $fixed -}}
{{- include "efs-provisioner.lay" (list $labels (deepCopy (. | default dict))) -}}
{{- end -}}
{{- toYaml $labels -}}
{{- end -}}

{{/* metadata of an object: context, name, component, and optionally labels, annotations and namespace ("-" for none). */}}
{{- define "efs-provisioner.metadata" -}}
{{- $root := .context -}}
name: {{ .name | quote }}
{{- if ne (.namespace | default "") "-" }}
namespace: {{ .namespace | default $root.Release.Namespace | quote }}
{{- end }}
{{- $labels := include "efs-provisioner.componentLabels" . | fromYaml -}}
{{- include "efs-provisioner.lay" (list $labels (dict "app.kubernetes.io/version" $root.Chart.AppVersion "app.kubernetes.io/managed-by" $root.Release.Service "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_"))) }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- $annotations := dict -}}
{{- range list $root.Values.commonAnnotations .annotations -}}
{{- include "efs-provisioner.lay" (list $annotations (deepCopy (. | default dict))) -}}
{{- end -}}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Reference of an image: context, image, its path in the values (image), and the tag and registry to use when it names none. */}}
{{- define "efs-provisioner.image" -}}
{{- $found := include "efs-provisioner.imageName" . -}}
{{- if not (regexMatch "^([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9._/-]+(:[A-Za-z0-9_.-]+|@sha256:[0-9a-f]{64})$" $found) -}}
{{- include "efs-provisioner.refuse" (list (printf "%s: %s is no name of an image. The registry is a host without https://, the repository is in lower case, a tag or a digest (sha256: and 64 hexadecimal digits) must be there." (.path | default "image") $found)) -}}
{{- end -}}
{{- $found -}}
{{- end -}}

{{- define "efs-provisioner.imageName" -}}
{{- $registry := .image.registry | default .context.Values.global.imageRegistry | default .registry | default "" | trimSuffix "/" -}}
{{- $name := ternary (printf "%s/%s" $registry .image.repository) .image.repository (not (empty $registry)) -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (toString (.image.tag | default .tag | default "")) -}}
{{- end -}}
{{- end -}}

{{/* Pull secrets of a pod: context, and the pod's own besides the global ones; named, or as maps with a name. */}}
{{- define "efs-provisioner.imagePullSecrets" -}}
{{- $names := list -}}
{{- range concat ((index . 0).Values.global.imagePullSecrets | default list) (index . 1 | default list) -}}
{{- $names = append $names (kindIs "map" . | ternary (dict "name" (get (kindIs "map" . | ternary . dict) "name")) (dict "name" .)) -}}
{{- end -}}
{{- with uniq $names }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Environment variables that a user gives: context, name to text or to a map with valueFrom. */}}
{{- define "efs-provisioner.variables" -}}
{{- $root := index . 0 -}}
{{- range $name, $value := index . 1 }}
{{- if not (kindIs "invalid" $value) }}
- name: {{ $name | quote }}
  {{- if kindIs "map" $value }}
  {{- if not (kindIs "map" (get $value "valueFrom")) }}
  {{- include "efs-provisioner.refuse" (list (printf "container.env.%s: a map says where the value comes from. Write valueFrom with secretKeyRef, configMapKeyRef or fieldRef in it, or plain text instead of the map." $name)) }}
  {{- end }}
  {{- toYaml $value | nindent 2 }}
  {{- else }}
  value: {{ tpl (toString $value) $root | quote }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Lays a map over another, in place: below, above. A map goes into a map, null removes, anything else replaces. */}}
{{- define "efs-provisioner.lay" -}}
{{- $below := index . 0 -}}
{{- range $key, $value := index . 1 -}}
{{- if kindIs "invalid" $value -}}{{- $_ := unset $below $key -}}
{{- else if and (kindIs "map" $value) (kindIs "map" (get $below $key)) -}}{{- include "efs-provisioner.lay" (list (get $below $key) $value) -}}
{{- else -}}{{- $_ := set $below $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Text of a map with what the user merges into it: context, merge, text, and the path of merge. */}}
{{- define "efs-provisioner.merged" -}}
{{- $text := index . 2 -}}
{{- with index . 1 -}}
{{- $object := fromYaml $text -}}
{{- $more := tpl (toYaml .) (index $ 0) | fromYaml -}}
{{- if hasKey $more "Error" -}}
{{- include "efs-provisioner.refuse" (list (printf "%s: once its templates are filled in it is no map any more: %s. Put quotes around the text that holds them." (index $ 3) (get $more "Error"))) -}}
{{- end -}}
{{- include "efs-provisioner.refuse" (include "efs-provisioner.misfits" (list $object $more (index $ 3)) | fromYamlArray) -}}
{{- include "efs-provisioner.lay" (list $object $more) -}}
{{- $text = toYaml $object -}}
{{- end -}}
{{- $text -}}
{{- end -}}

{{/* What cannot be laid over what is there, as problems: below, above, path. */}}
{{- define "efs-provisioner.misfits" -}}
{{- $below := index . 0 -}}
{{- $path := index . 2 -}}
{{- range $key, $value := index . 1 -}}
{{- $there := get $below $key -}}
{{- $wanted := kindIs "map" $there | ternary "map" (kindIs "slice" $there | ternary "list" "text or a number") -}}
{{- $given := kindIs "map" $value | ternary "map" (kindIs "slice" $value | ternary "list" "text or a number") -}}
{{- if or (kindIs "invalid" $value) (kindIs "invalid" $there) (not (hasKey $below $key)) -}}
{{- else if ne $wanted $given -}}
{{- include "efs-provisioner.problem" (printf "%s.%s: the chart has a %s there, and this is a %s. Write a %s, or null to take the chart's away." $path $key $wanted $given $wanted) -}}
{{- else if kindIs "map" $value -}}
{{- include "efs-provisioner.misfits" (list $there $value (printf "%s.%s" $path $key)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What is at a path through maps, as JSON, null where there is nothing: object, path. */}}
{{- define "efs-provisioner.at" -}}
{{- $value := index . 0 -}}
{{- range splitList "." (index . 1) -}}{{- $value = index (kindIs "map" $value | ternary $value dict) . -}}{{- end -}}
{{- toJson $value -}}
{{- end -}}

{{/* What each item of a list is called, as a JSON list, by its JSON where it has no name: object, path of the list. */}}
{{- define "efs-provisioner.itemNames" -}}
{{- $names := list -}}
{{- range include "efs-provisioner.at" . | fromJsonArray -}}{{- $names = append $names (get (kindIs "map" . | ternary . dict) "name" | default (toJson .)) -}}{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* A whole object with what the user merges into it: context, path of merge in the values, text, merge where it has no such path. */}}
{{- define "efs-provisioner.object" -}}
{{- $path := index . 1 -}}
{{- $merge := index . 0 -}}
{{- if gt (len .) 3 -}}
{{- $merge = index . 3 -}}
{{- else -}}
{{- $merge = $merge.Values -}}
{{- range splitList "." $path -}}{{- $merge = index $merge . -}}{{- end -}}
{{- end -}}
{{- $text := index . 2 -}}
{{- if $merge -}}
{{- $own := fromYaml $text -}}
{{- $text = include "efs-provisioner.merged" (list (index . 0) $merge $text $path) -}}
{{- $made := fromYaml $text -}}
{{- range list "apiVersion" "kind" "metadata.name" "metadata.namespace" "spec.selector" "spec.podSelector" "spec.clusterIP" "spec.publishNotReadyAddresses" "spec.accessModes" "spec.mountOptions" "mountOptions" "provisioner" "roleRef" "spec.template.spec.serviceAccountName" -}}
{{- $there := include "efs-provisioner.at" (list $made .) -}}
{{- $here := include "efs-provisioner.at" (list $own .) -}}
{{- if and (ne $there $here) (or (ne $here "null") (hasSuffix "mountOptions" .)) -}}
{{- include "efs-provisioner.refuse" (list (printf "%s.%s: the chart's other objects count on it. Take it out of merge, and use the chart's own value for it." $path .)) -}}
{{- end -}}
{{- end -}}
{{- $lists := list "spec.ports" "rules" "subjects" -}}
{{- if has $own.kind (list "Job" "Pod") -}}
{{- range list "containers" "volumes" -}}{{- $lists = append $lists (printf "%s.%s" (eq $own.kind "Job" | ternary "spec.template.spec" "spec") .) -}}{{- end -}}
{{- end -}}
{{- range $place := $lists -}}
{{- $names := include "efs-provisioner.itemNames" (list $made $place) | fromJsonArray -}}
{{- range include "efs-provisioner.itemNames" (list $own $place) | fromJsonArray -}}
{{- if not (has . $names) -}}
{{- include "efs-provisioner.refuse" (list (printf "%s.%s: a list replaces the chart's, and %s is missing in it. Write it too, or take the list out." $path $place .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $field := list "data" "metadata.annotations" -}}
{{- $there := include "efs-provisioner.at" (list $made $field) | fromJson -}}
{{- range $key, $value := include "efs-provisioner.at" (list $own $field) | fromJson -}}
{{- if or (and (eq $field "data") (not (hasKey $there $key))) (and (eq $key "helm.sh/hook") (ne (get $there $key | toString) $value)) -}}
{{- include "efs-provisioner.refuse" (list (printf "%s.%s.%s: the chart counts on it. Take it out of merge." $path $field $key)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $field := list "labels" "annotations" -}}
{{- range $key, $value := get $made.metadata $field | default dict -}}
{{- if not (kindIs "string" $value) -}}
{{- include "efs-provisioner.refuse" (list (printf "%s.metadata.%s.%s: %s is no text. Put quotes around it, or write null to take it away." $path $field $key (toJson $value))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $text -}}
{{- end -}}

{{/* The objects that a user adds, as a stream of documents; refused where one is none. */}}
{{- define "efs-provisioner.extraObjects" -}}
{{- range $index, $each := .Values.extraObjects }}
{{- range regexSplit "(?m)^---.*$" (tpl (kindIs "string" $each | ternary $each (toYaml $each)) $) -1 }}
{{- if regexMatch "(?m)^\\s*[^#\\s]" . }}
{{- $object := fromYaml . }}
{{- $metadata := kindIs "map" (get $object "metadata") | ternary (get $object "metadata") dict }}
{{- $wrong := not (and (kindIs "string" (get $object "apiVersion")) (kindIs "string" (get $object "kind")) (kindIs "string" (get $metadata "name")) (get $metadata "name")) }}
{{- range list "labels" "annotations" }}
{{- $texts := get $metadata . }}
{{- if kindIs "map" $texts }}
{{- range $texts }}{{- if not (kindIs "string" .) }}{{- $wrong = true }}{{- end }}{{- end }}
{{- else if $texts }}
{{- $wrong = true }}
{{- end }}
{{- end }}
{{- if $wrong }}
{{- include "efs-provisioner.refuse" (list (printf "extraObjects[%d]: it is no object of Kubernetes. Write apiVersion, kind and metadata.name as text, and labels and annotations as texts too." $index)) }}
{{- end }}
---
{{ trim . }}
{{ end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* One problem, as an item of a YAML list. */}}
{{- define "efs-provisioner.problem" -}}
{{ printf "- %s" (toJson .) }}
{{ end -}}

{{/* Refuses the values with a list of problems, if there are any. */}}
{{- define "efs-provisioner.refuse" -}}
{{- with . -}}
{{- fail (printf "\n\nThese values cannot work:\n  - %s\n" (join "\n  - " .)) -}}
{{- end -}}
{{- end -}}

{{/* What no values can miss, and what values are called now: problems as YAML. Everything else is judged after it. */}}
{{- define "efs-provisioner.present" -}}
{{- range .facts.old -}}
{{- $here := $.Values -}}
{{- range index . 0 -}}
{{- $here = index (kindIs "map" $here | ternary $here dict) . -}}
{{- end -}}
{{- if not (kindIs "invalid" $here) -}}
{{- include "efs-provisioner.problem" (printf "%s: it is a value of another chart, or of this one before 1.0. What says the same here: %s." (join "." (index . 0)) (index . 1)) -}}
{{- end -}}
{{- end -}}
{{- range $key, $_ := .Values -}}
{{- if not (or (has $key $.facts.roots) (has $key $.facts.oldRoots)) -}}
{{- include "efs-provisioner.problem" (printf "%s: there is no such value. Take it out, or look for its name in values.yaml." $key) -}}
{{- end -}}
{{- end -}}
{{- range .facts.needed -}}
{{- $here := $.Values -}}
{{- range index . 0 -}}
{{- $here = index (kindIs "map" $here | ternary $here dict) . -}}
{{- end -}}
{{- if kindIs "invalid" $here -}}
{{- $default := index . 1 -}}
{{- include "efs-provisioner.problem" (printf "%s: it is null, and the chart needs it. Leave it out to have the default%s." (join "." (index . 0)) (kindIs "invalid" $default | ternary "s" (printf " %s" (toJson $default)))) -}}
{{- end -}}
{{- end -}}
{{- range .facts.like -}}
{{- include "efs-provisioner.like" (list $.Values (index . 0) "" .) -}}
{{- end -}}
{{- end -}}

{{/* Texts that must look like something, as problems: value, rest of the path, path in words, entry of the facts. */}}
{{- define "efs-provisioner.like" -}}
{{- $value := index . 0 -}}
{{- $rest := index . 1 -}}
{{- $path := index . 2 -}}
{{- $entry := index . 3 -}}
{{- if not $rest -}}
{{- if kindIs "string" $value -}}
{{- if not (regexMatch (index $entry 1) $value) -}}
{{- include "efs-provisioner.problem" (printf "%s: %q is %s." $path $value (index $entry 2)) -}}
{{- end -}}
{{- end -}}
{{- else if and (eq (first $rest) "*") (kindIs "map" $value) -}}
{{- range $key, $each := $value -}}
{{- include "efs-provisioner.like" (list $each (rest $rest) (printf "%s.%s" $path $key) $entry) -}}
{{- end -}}
{{- else if eq (first $rest) "*" -}}
{{- range $index, $each := kindIs "slice" $value | ternary $value list -}}
{{- include "efs-provisioner.like" (list $each (rest $rest) (printf "%s[%d]" $path $index) $entry) -}}
{{- end -}}
{{- else if kindIs "map" $value -}}
{{- include "efs-provisioner.like" (list (get $value (first $rest)) (rest $rest) (printf "%s.%s" $path (first $rest) | trimPrefix ".") $entry) -}}
{{- end -}}
{{- end -}}

{{/* The kind of mount that a provisioner or driver makes: facts, name. */}}
{{- define "efs-provisioner.mountKind" -}}
{{- $kind := "other" -}}
{{- $name := lower (index . 1) -}}
{{- range reverse (index . 0).drivers -}}
{{- if regexMatch (index . 0) $name -}}{{- $kind = index . 1 -}}{{- end -}}
{{- end -}}
{{- $kind -}}
{{- end -}}

{{/* Mount options that a store must not have: facts, path of the value, options, kinds of the mount; nfs: it is one over NFS. */}}
{{- define "efs-provisioner.mountProblems" -}}
{{- $version := false -}}
{{- range splitList "," (join "," .options) -}}
{{- $plain := lower (trim .) -}}
{{- $option := . -}}
{{- if regexMatch $.facts.mountVersion $plain -}}{{- $version = true -}}{{- end -}}
{{- $told := false -}}
{{- range $.facts.mounts -}}
{{- $here := false -}}
{{- range .on -}}{{- if has . $.kinds -}}{{- $here = true -}}{{- end -}}{{- end -}}
{{- if and $here (not $told) (regexMatch .match $plain) -}}
{{- $told = true -}}
{{- include "efs-provisioner.problem" (printf "%s: %s: %s." $.path $option .words) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .nfs (not $version) -}}
{{- include "efs-provisioner.problem" (printf "%s: no NFS version is named, so a node may fall back to version 3, whose locks are not safe: add nfsvers=4.1." .path) -}}
{{- end -}}
{{- end -}}
