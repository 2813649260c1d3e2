{{- /* What the engines differ in. */ -}}

{{- /* "true" when the chart runs a controller. */ -}}
{{- define "efs-provisioner.hasController" -}}
{{- if has .Values.engine (list "efs-provisioner" "nfs-subdir") -}}true{{- end -}}
{{- end -}}

{{- /* "true" when every claim of engine existing brings its volume, so that nothing has to provision. */ -}}
{{- define "efs-provisioner.allStatic" -}}
{{- if eq .Values.engine "existing" -}}
{{- $static := 0 -}}
{{- range .Values.claims -}}{{- if .volume -}}{{- $static = add1 $static -}}{{- end -}}{{- end -}}
{{- if and .Values.claims (eq (int $static) (len .Values.claims)) -}}true{{- end -}}
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

{{- /* The file system's DNS name; China regions have a suffix of their own. */ -}}
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
{{- if eq .Values.engine "nfs-subdir" -}}
{{- default (include "efs-provisioner.efsDnsName" .) .Values.nfs.server -}}
{{- else -}}
{{- include "efs-provisioner.efsDnsName" . -}}
{{- end -}}
{{- end -}}

{{- define "efs-provisioner.nfsPath" -}}
{{- ternary .Values.nfs.path "/" (eq .Values.engine "nfs-subdir") -}}
{{- end -}}

{{- /* "true" when the NFS server is an EFS file system: some mount options are then out of place. */ -}}
{{- define "efs-provisioner.onEfs" -}}
{{- if or (has .Values.engine (list "efs-provisioner" "efs-csi")) (and (eq .Values.engine "nfs-subdir") (not .Values.nfs.server)) -}}true{{- end -}}
{{- end -}}

{{- define "efs-provisioner.image" -}}
{{- with ternary .Values.efsProvisioner.image .Values.nfsSubdir.image (eq .Values.engine "efs-provisioner") -}}
{{- with .registry }}{{ . }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end -}}
{{- end -}}
{{- end -}}

{{- /* Parameters of the StorageClass, as YAML, the engine's own and the further ones. */ -}}
{{- define "efs-provisioner.parameters" -}}
{{- $typed := dict -}}
{{- if eq .Values.engine "efs-provisioner" -}}
{{- with .Values.efsProvisioner.gidAllocate -}}
{{- $_ := set $typed "gidAllocate" (toString .enabled) -}}
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
{{- with .subPathPattern -}}{{- $_ := set $typed "subPathPattern" . -}}{{- end -}}
{{- if .subPathPattern -}}{{- $_ := set $typed "ensureUniqueDirectory" (toString .ensureUniqueDirectory) -}}{{- end -}}
{{- $_ := set $typed "reuseAccessPoint" (toString .reuseAccessPoint) -}}
{{- end -}}
{{- with .Values.basePath -}}{{- $_ := set $typed "basePath" (printf "/%s" .) -}}{{- end -}}
{{- end -}}
{{- with merge $typed .Values.storageClass.parameters -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}
