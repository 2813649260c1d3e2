{{/* Names of the objects, and what every template begins with. Installed as efs-provisioner they are those of the recipe. */}}

{{/* Whether the chart makes anything; the first time also judges the values. */}}
{{- define "efs-provisioner.wanted" -}}
{{- if not .facts -}}
{{- $_ := set . "facts" (.Files.Get "files/facts.json" | fromJson) -}}
{{- if or (kindIs "invalid" .Values.enabled) .Values.enabled -}}
{{- include "efs-provisioner.refuse" (include "efs-provisioner.present" . | fromYamlArray) -}}
{{- include "efs-provisioner.validate" . -}}
{{- end -}}
{{- end -}}
{{- if .Values.enabled }}true{{ end -}}
{{- end -}}

{{/* Whether the chart makes objects and runs a controller. */}}
{{- define "efs-provisioner.controlled" -}}
{{- if and (include "efs-provisioner.wanted" .) (include "efs-provisioner.hasController" .) }}true{{ end -}}
{{- end -}}

{{- define "efs-provisioner.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains (include "efs-provisioner.name" .) .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "efs-provisioner.name" .) -}}
{{- end -}}
{{- end -}}

{{- define "efs-provisioner.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "efs-provisioner.fullname" .) "default" (not (empty .Values.serviceAccount.create))) -}}
{{- end -}}

{{- define "efs-provisioner.clusterRoleName" -}}
{{- printf "%s-runner" (include "efs-provisioner.fullname" .) -}}
{{- end -}}

{{- define "efs-provisioner.leaderRoleName" -}}
{{- printf "leader-locking-%s" (include "efs-provisioner.fullname" .) -}}
{{- end -}}

{{/* The controllers name their lock after the provisioner (sig-storage-lib controller.go, Run). */}}
{{- define "efs-provisioner.lockName" -}}
{{- .Values.provisionerName | replace "/" "-" -}}
{{- end -}}

{{/* The controller's own volume and claim; neither can change its place, so another file system makes another name. */}}
{{- define "efs-provisioner.ownVolumeName" -}}
{{- $place := printf "%s:%s" (include "efs-provisioner.nfsServer" .) (include "efs-provisioner.nfsPath" .) -}}
{{- printf "%s-root-%s" (include "efs-provisioner.fullname" .) (sha256sum $place | trunc 8) -}}
{{- end -}}

{{/* What the controller's pod is selected by; a Deployment's selector can never change. */}}
{{- define "efs-provisioner.selectorLabels" -}}
{{- if .Values.adoptRecipe -}}
app: {{ include "efs-provisioner.fullname" . | quote }}
{{- else -}}
app.kubernetes.io/name: {{ include "efs-provisioner.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: storage
{{- end -}}
{{- end -}}

{{/* metadata of an object: context, name, and optionally labels, annotations, namespace ("-" for none). */}}
{{- define "efs-provisioner.objectMetadata" -}}
{{- $labels := mustMergeOverwrite (deepCopy (.labels | default dict)) (dict "app" (include "efs-provisioner.fullname" .context)) -}}
{{- include "efs-provisioner.metadata" (mustMergeOverwrite (dict "component" "storage") . (dict "labels" $labels)) -}}
{{- end -}}

{{/* The one list of claims, each with every key that a claim can have: as YAML. */}}
{{- define "efs-provisioner.claims" -}}
{{- range .Values.claims }}
{{- $volume := .volume | default dict }}
{{- $found := dict }}
{{- with get ($volume.nfs | default dict) "server" }}{{ $_ := set $found "nfs" $volume.nfs }}{{ end }}
{{- with get ($volume.csi | default dict) "driver" }}{{ $_ := set $found "csi" $volume.csi }}{{ end }}
{{- with get ($volume.hostPath | default dict) "path" }}{{ $_ := set $found "hostPath" $volume.hostPath }}{{ end }}
{{- with $volume.persistentVolume }}{{ $_ := set $found "persistentVolume" . }}{{ end }}
{{- $claim := dict "name" .name "size" .size "accessModes" (.accessModes | default (list "ReadWriteMany")) }}
{{- $_ := set $claim "keep" (ternary true (not (empty .keep)) (kindIs "invalid" .keep)) }}
{{- $_ := set $claim "annotations" (.annotations | default dict) }}
{{- $_ := set $claim "labels" (.labels | default dict) }}
{{- $_ := set $claim "merge" (.merge | default dict) }}
{{- $_ := set $claim "sources" $found }}
{{- $_ := set $claim "gid" $volume.gid }}
{{- $_ := set $claim "volumeMerge" ($volume.merge | default dict) }}
{{- if $found }}
{{- $_ := set $claim "volumeName" ($volume.persistentVolume | default (printf "%s-%s-%s" $.Release.Namespace (include "efs-provisioner.fullname" $) .name)) }}
{{- end }}
- {{ toJson $claim }}
{{- end }}
{{- end -}}
