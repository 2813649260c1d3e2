{{/* What the engines differ in. */}}

{{- define "efs-provisioner.hasController" -}}
{{- if has .Values.engine (list "efs-provisioner" "nfs-subdir") -}}true{{- end -}}
{{- end -}}

{{/* "true" when every claim of engine existing brings its volume, so that nothing has to provision. */}}
{{- define "efs-provisioner.allStatic" -}}
{{- if eq .Values.engine "existing" -}}
{{- $missing := false -}}
{{- range include "efs-provisioner.claims" . | fromYamlArray -}}{{- if not .sources -}}{{- $missing = true -}}{{- end -}}{{- end -}}
{{- if and .Values.claims (not $missing) -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{- define "efs-provisioner.storageClassProvisioner" -}}
{{- if eq .Values.engine "efs-csi" -}}
efs.csi.aws.com
{{- else if include "efs-provisioner.allStatic" . -}}
kubernetes.io/no-provisioner
{{- else -}}
{{- .Values.provisionerName -}}
{{- end -}}
{{- end -}}

{{/* The file system's DNS name; China regions have a suffix of their own. */}}
{{- define "efs-provisioner.efsDnsName" -}}
{{- with .Values.fileSystem -}}
{{- if .dnsName -}}
{{- .dnsName -}}
{{- else if and .id .region -}}
{{- printf "%s.efs.%s.amazonaws.com%s" .id .region (ternary ".cn" "" (hasPrefix "cn-" .region)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "efs-provisioner.nfsServer" -}}
{{- $server := ternary .Values.nfs.server "" (eq .Values.engine "nfs-subdir") -}}
{{- $server | default (include "efs-provisioner.efsDnsName" .) -}}
{{- end -}}

{{- define "efs-provisioner.nfsPath" -}}
{{- ternary .Values.nfs.path "/" (eq .Values.engine "nfs-subdir") -}}
{{- end -}}

{{- define "efs-provisioner.basePath" -}}
{{- .Values.basePath | default "" | trimAll "/" -}}
{{- end -}}

{{/* What the nfs-subdir controller is told that it mounts, with the directory below. */}}
{{- define "efs-provisioner.nfsRoot" -}}
{{- printf "%s/%s" (include "efs-provisioner.nfsPath" . | trimSuffix "/") (include "efs-provisioner.basePath" .) | trimSuffix "/" | default "/" -}}
{{- end -}}

{{/* "true" when the volumes are on an EFS file system: some mount options are then out of place. */}}
{{- define "efs-provisioner.onEfs" -}}
{{- if or (has .Values.engine (list "efs-provisioner" "efs-csi")) (and (eq .Values.engine "nfs-subdir") (not .Values.nfs.server)) -}}true{{- end -}}
{{- end -}}

{{/* Parameters of the StorageClass, as YAML: the engine's own, which have values of their own, over the further ones. */}}
{{- define "efs-provisioner.parameters" -}}
{{- $typed := dict -}}
{{- if eq .Values.engine "efs-provisioner" -}}
{{- with .Values.efsProvisioner.gidAllocate -}}
{{- $_ := set $typed "gidAllocate" (.enabled | default false | toString) -}}
{{- if .enabled -}}
{{- $_ := set $typed "gidMin" (.min | int64 | toString) -}}
{{- $_ := set $typed "gidMax" (.max | int64 | toString) -}}
{{- end -}}
{{- end -}}
{{- else if eq .Values.engine "nfs-subdir" -}}
{{- with .Values.nfsSubdir -}}
{{- if eq .onDelete "archive" -}}
{{- $_ := set $typed "archiveOnDelete" "true" -}}
{{- else -}}
{{- $_ := set $typed "onDelete" .onDelete -}}
{{- end -}}
{{- with .pathPattern -}}{{- $_ := set $typed "pathPattern" . -}}{{- end -}}
{{- end -}}
{{- else if eq .Values.engine "efs-csi" -}}
{{- $_ := set $typed "provisioningMode" "efs-ap" -}}
{{- $_ := set $typed "fileSystemId" .Values.fileSystem.id -}}
{{- with .Values.efsCsi -}}
{{- $_ := set $typed "directoryPerms" .directoryPerms -}}
{{- $_ := set $typed "uid" (.uid | int64 | toString) -}}
{{- $_ := set $typed "gid" (.gid | int64 | toString) -}}
{{- if .subPathPattern -}}
{{- $_ := set $typed "subPathPattern" .subPathPattern -}}
{{- $_ := set $typed "ensureUniqueDirectory" (.ensureUniqueDirectory | default false | toString) -}}
{{- end -}}
{{- $_ := set $typed "reuseAccessPoint" (.reuseAccessPoint | default false | toString) -}}
{{- end -}}
{{- with include "efs-provisioner.basePath" . -}}{{- $_ := set $typed "basePath" (printf "/%s" .) -}}{{- end -}}
{{- end -}}
{{- $all := dict -}}
{{- include "efs-provisioner.lay" (list $all (deepCopy (.Values.storageClass.parameters | default dict))) -}}
{{- include "efs-provisioner.lay" (list $all $typed) -}}
{{- with $all -}}{{- toYaml . -}}{{- end -}}
{{- end -}}
