{{- /* What a schema cannot say: each message names the value, says why, and what to write instead. */ -}}

{{- define "efs-provisioner.validate" -}}
{{- $messages := list -}}
{{- range list "engine" "controller" "labels" "file-system" "mount-options" "claims" "cluster" -}}
{{- $messages = concat $messages (include (printf "efs-provisioner.validate.%s" .) $ | fromYamlArray) -}}
{{- end -}}
{{- if $messages -}}
{{- fail (printf "\n\n  %s\n" (join "\n  " $messages)) -}}
{{- end -}}
{{- end -}}

{{- define "efs-provisioner.validate.engine" -}}
{{- $messages := list -}}
{{- $typed := dict
  "efs-provisioner" (dict "gidAllocate" "efsProvisioner.gidAllocate.enabled" "gidMin" "efsProvisioner.gidAllocate.min" "gidMax" "efsProvisioner.gidAllocate.max")
  "nfs-subdir" (dict "archiveOnDelete" "nfsSubdir.onDelete" "onDelete" "nfsSubdir.onDelete" "pathPattern" "nfsSubdir.pathPattern")
  "efs-csi" (dict "fileSystemId" "fileSystem.id" "basePath" "basePath" "directoryPerms" "efsCsi.directoryPerms" "uid" "efsCsi.uid" "gid" "efsCsi.gid" "subPathPattern" "efsCsi.subPathPattern" "ensureUniqueDirectory" "efsCsi.ensureUniqueDirectory" "reuseAccessPoint" "efsCsi.reuseAccessPoint" "provisioningMode" "engine (it is always efs-ap)")
  "existing" dict -}}
{{- range $key, $_ := .Values.storageClass.parameters -}}
{{- with get (get $typed $.Values.engine) $key -}}
{{- $messages = append $messages (printf "storageClass.parameters.%s: this parameter has a value of its own: set %s." $key .) -}}
{{- end -}}
{{- end -}}
{{- with .Values.efsProvisioner.gidAllocate -}}
{{- if and .enabled (gt (int64 .min) (int64 .max)) -}}
{{- $messages = append $messages (printf "efsProvisioner.gidAllocate.min: %d is greater than efsProvisioner.gidAllocate.max (%d): swap them or widen the range." (int64 .min) (int64 .max)) -}}
{{- end -}}
{{- end -}}
{{- with .Values.nfsSubdir -}}
{{- if and (contains "/" .pathPattern) (ne .onDelete "retain") (eq $.Values.storageClass.reclaimPolicy "Delete") -}}
{{- $messages = append $messages (printf "nfsSubdir.pathPattern: %q makes directories below directories, and v4.0.2 looks for a deleted volume by its last part only, so another claim's directory could be removed: set nfsSubdir.onDelete=retain, or storageClass.reclaimPolicy=Retain, or use a pattern without /." .pathPattern) -}}
{{- end -}}
{{- end -}}
{{- with .Values.efsCsi -}}
{{- if and .reuseAccessPoint (not .subPathPattern) (eq $.Values.storageClass.reclaimPolicy "Delete") -}}
{{- $messages = append $messages "efsCsi.reuseAccessPoint: an access point that is used again must outlive its volume: set storageClass.reclaimPolicy=Retain." -}}
{{- end -}}
{{- end -}}
{{- $messages | toYaml -}}
{{- end -}}

{{- define "efs-provisioner.validate.controller" -}}
{{- $messages := list -}}
{{- range $engine := list "efsProvisioner" "nfsSubdir" -}}
{{- $image := (get $.Values $engine).image -}}
{{- if and (eq $image.tag "latest") (not $image.digest) -}}
{{- $messages = append $messages (printf "%s.image.tag: latest says nothing about what runs: name a release, as the default does." $engine) -}}
{{- end -}}
{{- end -}}
{{- $sources := dict "FILE_SYSTEM_ID" "fileSystem.id" "AWS_REGION" "fileSystem.region" "DNS_NAME" "fileSystem.dnsName" "PROVISIONER_NAME" "provisionerName" "NFS_SERVER" "nfs.server" "NFS_PATH" "nfs.path" -}}
{{- range $variable, $_ := .Values.controller.extraEnv -}}
{{- if hasKey $sources $variable -}}
{{- $messages = append $messages (printf "controller.extraEnv.%s: the chart sets this variable itself: set %s." $variable (get $sources $variable)) -}}
{{- end -}}
{{- end -}}
{{- $messages | toYaml -}}
{{- end -}}

{{- define "efs-provisioner.validate.labels" -}}
{{- $messages := list -}}
{{- $own := list "app" "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/component" "app.kubernetes.io/managed-by" "helm.sh/chart" -}}
{{- $maps := dict "commonLabels" .Values.commonLabels "controller.podLabels" .Values.controller.podLabels -}}
{{- range $index, $claim := .Values.claims -}}
{{- $_ := set $maps (printf "claims[%d].labels" $index) (default dict $claim.labels) -}}
{{- end -}}
{{- range $where, $labels := $maps -}}
{{- range $key, $_ := $labels -}}
{{- if has $key $own -}}
{{- $messages = append $messages (printf "%s: the chart sets the label %s itself: use another key." $where $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $messages | toYaml -}}
{{- end -}}

{{- define "efs-provisioner.validate.file-system" -}}
{{- $messages := list -}}
{{- $engine := .Values.engine -}}
{{- with .Values.fileSystem -}}
{{- if and (has $engine (list "efs-provisioner" "efs-csi")) (not .id) -}}
{{- $messages = append $messages (printf "fileSystem.id: engine %s needs the id of the EFS file system: set it, for example --set fileSystem.id=fs-0123456789abcdef0 (aws efs describe-file-systems lists them)." $engine) -}}
{{- end -}}
{{- if and (eq $engine "efs-provisioner") (not .region) -}}
{{- $messages = append $messages "fileSystem.region: engine efs-provisioner needs the AWS region of the file system: set it, for example --set fileSystem.region=us-east-2." -}}
{{- end -}}
{{- if and (contains "-iso" .region) (not .dnsName) (ne $engine "existing") -}}
{{- $messages = append $messages (printf "fileSystem.dnsName: the DNS suffix of the isolated region %s cannot be derived: set the file system's full DNS name." .region) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $engine "nfs-subdir") (not (include "efs-provisioner.nfsServer" .)) -}}
{{- $messages = append $messages "nfs.server: engine nfs-subdir needs an NFS server: set nfs.server=HOST, or fileSystem.id and fileSystem.region for an EFS file system." -}}
{{- end -}}
{{- $messages | toYaml -}}
{{- end -}}

{{- define "efs-provisioner.validate.mount-options" -}}
{{- $messages := list -}}
{{- $onEfs := include "efs-provisioner.onEfs" . -}}
{{- $version := "" -}}
{{- range .Values.mountOptions -}}
{{- $key := regexReplaceAll "=.*" . "" | lower -}}
{{- $value := regexReplaceAll "^[^=]*=?" . "" | lower -}}
{{- if has $key (list "nfsvers" "vers" "v4" "v4.0" "v4.1" "v4.2" "v3" "v2") -}}
{{- $version = ternary (trimPrefix "v" $key) $value (hasPrefix "v" (ternary $key "" (ne $key "vers"))) -}}
{{- if not (hasPrefix "4" $version) -}}
{{- $messages = append $messages (printf "mountOptions: %s: before version 4 NFS keeps locks outside the protocol, and a node that dies keeps its lock for ever: use nfsvers=4.1." .) -}}
{{- else if and $onEfs (not (has $version (list "4" "4.0" "4.1"))) -}}
{{- $messages = append $messages (printf "mountOptions: %s: EFS speaks NFS 4.0 and 4.1 only: use nfsvers=4.1." .) -}}
{{- end -}}
{{- else if has $key (list "nolock" "nolocks") -}}
{{- $messages = append $messages (printf "mountOptions: %s: locks would stay on the node, and every server would believe it is the active one: take it out." .) -}}
{{- else if and (eq $key "local_lock") (ne $value "none") -}}
{{- $messages = append $messages (printf "mountOptions: %s: locks would stay on the node, and every server would believe it is the active one: take it out, or write local_lock=none." .) -}}
{{- else if has $key (list "soft" "softerr") -}}
{{- $messages = append $messages (printf "mountOptions: %s: a write that times out returns an error or is dropped, and acknowledged messages may be lost: use hard." .) -}}
{{- else if has $key (list "nocto") -}}
{{- $messages = append $messages (printf "mountOptions: %s: a server that takes over could read its node's old view of the store: take it out." .) -}}
{{- else if has $key (list "ro") -}}
{{- $messages = append $messages (printf "mountOptions: %s: the store must be writable: take it out." .) -}}
{{- else if or (eq $key "udp") (and (eq $key "proto") (hasPrefix "udp" $value)) -}}
{{- $messages = append $messages (printf "mountOptions: %s: NFS 4 runs over TCP: take it out." .) -}}
{{- else if and $onEfs (or (eq $key "nconnect") (and (eq $key "sec") (hasPrefix "krb5" $value))) -}}
{{- $messages = append $messages (printf "mountOptions: %s: EFS does not support it: take it out." .) -}}
{{- end -}}
{{- end -}}
{{- $nfs := include "efs-provisioner.hasController" . -}}
{{- if eq .Values.engine "existing" -}}
{{- range .Values.claims -}}{{- if (default dict .volume).nfs -}}{{- $nfs = "true" -}}{{- end -}}{{- end -}}
{{- end -}}
{{- if and $nfs (not $version) -}}
{{- $messages = append $messages "mountOptions: no NFS version is named, so a node may fall back to version 3, whose locks are not safe: add nfsvers=4.1." -}}
{{- end -}}
{{- $messages | toYaml -}}
{{- end -}}

{{- define "efs-provisioner.validate.claims" -}}
{{- $messages := list -}}
{{- $names := list -}}
{{- $handles := list -}}
{{- range $index, $claim := .Values.claims -}}
{{- if has $claim.name $names -}}
{{- $messages = append $messages (printf "claims[%d].name: %s is used twice: give each claim its own name." $index $claim.name) -}}
{{- end -}}
{{- $names = append $names $claim.name -}}
{{- if and $claim.accessModes (not (has "ReadWriteMany" $claim.accessModes)) -}}
{{- $messages = append $messages (printf "claims[%d].accessModes: %s does not hold ReadWriteMany, so only one node could write and no server could take over: add ReadWriteMany." $index (join ", " $claim.accessModes)) -}}
{{- end -}}
{{- if regexMatch "^0+(\\.0*)?[A-Za-z]*$" $claim.size -}}
{{- $messages = append $messages (printf "claims[%d].size: %s is nothing: ask for 1Mi or more." $index $claim.size) -}}
{{- end -}}
{{- with $claim.volume -}}
{{- if ne $.Values.engine "existing" -}}
{{- $messages = append $messages (printf "claims[%d].volume: engine %s makes the volume itself: take claims[%d].volume out, or set engine=existing." $index $.Values.engine $index) -}}
{{- end -}}
{{- $sources := list -}}
{{- range list "nfs" "csi" "hostPath" "persistentVolume" -}}{{- if get $claim.volume . -}}{{- $sources = append $sources . -}}{{- end -}}{{- end -}}
{{- if ne (len $sources) 1 -}}
{{- $messages = append $messages (printf "claims[%d].volume: %s: name exactly one of nfs, csi, hostPath and persistentVolume." $index (ternary "no source is named" (printf "%s are named together" (join ", " $sources)) (empty $sources))) -}}
{{- end -}}
{{- if and .gid .persistentVolume -}}
{{- $messages = append $messages (printf "claims[%d].volume.gid: the volume %s exists already: annotate it with pv.beta.kubernetes.io/gid instead." $index .persistentVolume) -}}
{{- end -}}
{{- if and .csi (eq .csi.driver "efs.csi.aws.com") (not (regexMatch "^(efs:)?fs-[0-9a-f]{8}([0-9a-f]{9})?(:[^:]*){0,2}$" .csi.volumeHandle)) -}}
{{- $messages = append $messages (printf "claims[%d].volume.csi.volumeHandle: %q is no EFS handle: write fs-ID, fs-ID:/path or fs-ID::fsap-ID." $index .csi.volumeHandle) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $messages | toYaml -}}
{{- end -}}

{{- /* Only known against a cluster: who else holds the StorageClass or the provisioner name. */ -}}
{{- define "efs-provisioner.validate.cluster" -}}
{{- $messages := list -}}
{{- $me := printf "%s/%s" .Release.Namespace .Release.Name -}}
{{- if and (include "efs-provisioner.hasController" .) .Values.rbac.create -}}
{{- $role := lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" (include "efs-provisioner.clusterRoleName" .) -}}
{{- $annotations := default dict (default dict $role.metadata).annotations -}}
{{- with get $annotations "meta.helm.sh/release-name" -}}
{{- $owner := printf "%s/%s" (get $annotations "meta.helm.sh/release-namespace") . -}}
{{- if ne $owner $me -}}
{{- $messages = append $messages (printf "fullnameOverride: release %s already uses the name %s in the cluster's scope: install this one under another release name, or set fullnameOverride." $owner (include "efs-provisioner.fullname" $)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if .Values.storageClass.create -}}
{{- $name := .Values.storageClass.name -}}
{{- $provisioner := include "efs-provisioner.storageClassProvisioner" . -}}
{{- range (lookup "storage.k8s.io/v1" "StorageClass" "" "").items -}}
{{- $annotations := default dict .metadata.annotations -}}
{{- $owner := "" -}}
{{- with get $annotations "meta.helm.sh/release-name" -}}
{{- $owner = printf "%s/%s" (get $annotations "meta.helm.sh/release-namespace") . -}}
{{- end -}}
{{- if eq .metadata.name $name -}}
{{- if and $owner (ne $owner $me) -}}
{{- $messages = append $messages (printf "storageClass.name: the StorageClass %s belongs to release %s: set storageClass.create=false to use it, or another storageClass.name." $name $owner) -}}
{{- else -}}
{{- $class := $.Values.storageClass -}}
{{- $wanted := dict "provisioner" $provisioner "parameters" (include "efs-provisioner.parameters" $ | fromYaml) "reclaimPolicy" $class.reclaimPolicy "volumeBindingMode" $class.volumeBindingMode -}}
{{- $there := dict "provisioner" .provisioner "parameters" (default dict .parameters) "reclaimPolicy" (default "Delete" .reclaimPolicy) "volumeBindingMode" (default "Immediate" .volumeBindingMode) -}}
{{- range $field := list "provisioner" "parameters" "reclaimPolicy" "volumeBindingMode" -}}
{{- if not (deepEqual (get $wanted $field) (get $there $field)) -}}
{{- $messages = append $messages (printf "storageClass: %s of the StorageClass %s is %s and would become %s, which Kubernetes does not allow in place: run `kubectl delete storageclass %s` (bound claims do not notice), then repeat." $field $name (get $there $field | toJson) (get $wanted $field | toJson) $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- else if and $owner (ne $owner $me) (include "efs-provisioner.hasController" $) (eq .provisioner $provisioner) -}}
{{- $messages = append $messages (printf "provisionerName: release %s already answers to %s (StorageClass %s), and two controllers would both make the volume: give this release a name of its own, for example --set provisionerName=%s-2." $owner $provisioner .metadata.name $provisioner) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $messages | toYaml -}}
{{- end -}}
