{{/* What a schema cannot say. Each helper gives problems; every message begins with the value and ends with the remedy. */}}

{{- define "efs-provisioner.validate" -}}
{{- $problems := list -}}
{{- range list "names" "engine" "controller" "fileSystem" "mountOptions" "claims" "cluster" -}}
{{- $problems = concat $problems (include (printf "efs-provisioner.validate.%s" .) $ | fromYamlArray) -}}
{{- end -}}
{{- include "efs-provisioner.refuse" $problems -}}
{{- end -}}

{{- define "efs-provisioner.validate.names" -}}
{{- $name := include "efs-provisioner.fullname" . -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,43}[a-z0-9])?$" $name) -}}
{{- include "efs-provisioner.problem" (printf "fullnameOverride: the objects would be called %q, which is no name that they can have (up to 45 small letters, digits or dashes). Set fullnameOverride, or install under another release name." $name) -}}
{{- end -}}
{{- range $key, $_ := .Values.commonAnnotations -}}
{{- if hasPrefix "helm.sh/" $key -}}
{{- include "efs-provisioner.problem" (printf "commonAnnotations: with %s on every object helm would treat all of them as hooks, or keep them all. Take it out." $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "efs-provisioner.validate.engine" -}}
{{- $typed := dict
  "efs-provisioner" (dict "gidAllocate" "efsProvisioner.gidAllocate.enabled" "gidMin" "efsProvisioner.gidAllocate.min" "gidMax" "efsProvisioner.gidAllocate.max")
  "nfs-subdir" (dict "archiveOnDelete" "nfsSubdir.onDelete" "onDelete" "nfsSubdir.onDelete" "pathPattern" "nfsSubdir.pathPattern")
  "efs-csi" (dict "fileSystemId" "fileSystem.id" "basePath" "basePath" "directoryPerms" "efsCsi.directoryPerms" "uid" "efsCsi.uid" "gid" "efsCsi.gid" "subPathPattern" "efsCsi.subPathPattern" "ensureUniqueDirectory" "efsCsi.ensureUniqueDirectory" "reuseAccessPoint" "efsCsi.reuseAccessPoint" "provisioningMode" "engine (it is always efs-ap)")
  "existing" dict -}}
{{- range $key, $_ := .Values.storageClass.parameters -}}
{{- with get (get $typed $.Values.engine) $key -}}
{{- include "efs-provisioner.problem" (printf "storageClass.parameters.%s: this parameter has a value of its own. Set %s." $key .) -}}
{{- end -}}
{{- end -}}
{{- with .Values.efsProvisioner.gidAllocate -}}
{{- if and .enabled (gt (int64 .min) (int64 .max)) -}}
{{- include "efs-provisioner.problem" (printf "efsProvisioner.gidAllocate.min: %d is greater than efsProvisioner.gidAllocate.max (%d). Swap them or widen the range." (int64 .min) (int64 .max)) -}}
{{- end -}}
{{- end -}}
{{- with .Values.nfsSubdir -}}
{{- if and (contains "/" (.pathPattern | default "")) (ne .onDelete "retain") (eq $.Values.storageClass.reclaimPolicy "Delete") -}}
{{- include "efs-provisioner.problem" (printf "nfsSubdir.pathPattern: %q makes directories below directories, and v4.0.2 looks for a deleted volume by its last part only, so another claim's directory could be removed. Set nfsSubdir.onDelete=retain, or storageClass.reclaimPolicy=Retain, or use a pattern without /." .pathPattern) -}}
{{- end -}}
{{- end -}}
{{- with .Values.efsCsi -}}
{{- if and .reuseAccessPoint (not .subPathPattern) (eq $.Values.storageClass.reclaimPolicy "Delete") -}}
{{- include "efs-provisioner.problem" "efsCsi.reuseAccessPoint: an access point that is used again must outlive its volume. Set storageClass.reclaimPolicy=Retain." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "efs-provisioner.validate.controller" -}}
{{- range $engine := list "efsProvisioner" "nfsSubdir" -}}
{{- $image := (get $.Values $engine).image -}}
{{- if and (eq (toString $image.tag) "latest") (not $image.digest) -}}
{{- include "efs-provisioner.problem" (printf "%s.image.tag: latest says nothing about what runs. Name a release, as the default does." $engine) -}}
{{- end -}}
{{- end -}}
{{- $sources := dict "FILE_SYSTEM_ID" "fileSystem.id" "AWS_REGION" "fileSystem.region" "DNS_NAME" "fileSystem.dnsName" "PROVISIONER_NAME" "provisionerName" "NFS_SERVER" "nfs.server" "NFS_PATH" "nfs.path" -}}
{{- range $variable, $_ := .Values.container.env -}}
{{- if not (regexMatch "^[A-Za-z_][A-Za-z0-9_.-]*$" $variable) -}}
{{- include "efs-provisioner.problem" (printf "container.env: %q is no name of a variable (a letter or underscore, then letters, digits, dots, dashes or underscores). Write another." $variable) -}}
{{- end -}}
{{- with get $sources $variable -}}
{{- include "efs-provisioner.problem" (printf "container.env.%s: the chart sets this variable itself. Set %s." $variable .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "efs-provisioner.validate.fileSystem" -}}
{{- $engine := .Values.engine -}}
{{- with .Values.fileSystem -}}
{{- if and (has $engine (list "efs-provisioner" "efs-csi")) (not .id) -}}
{{- include "efs-provisioner.problem" (printf "fileSystem.id: engine %s needs the id of the EFS file system. Set it, such as --set fileSystem.id=fs-0123456789abcdef0 (aws efs describe-file-systems lists them); for an NFS server set engine=nfs-subdir, for volumes that are there engine=existing." $engine) -}}
{{- end -}}
{{- if and (eq $engine "efs-provisioner") (not .region) -}}
{{- include "efs-provisioner.problem" "fileSystem.region: engine efs-provisioner needs the AWS region of the file system. Set it, such as --set fileSystem.region=us-east-2." -}}
{{- end -}}
{{- if and (contains "-iso" (.region | default "")) (not .dnsName) (has $engine (list "efs-provisioner" "nfs-subdir")) -}}
{{- include "efs-provisioner.problem" (printf "fileSystem.dnsName: the DNS suffix of the isolated region %s cannot be derived. Set the file system's full DNS name." .region) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $engine "nfs-subdir") (not (include "efs-provisioner.nfsServer" .)) -}}
{{- include "efs-provisioner.problem" "nfs.server: engine nfs-subdir needs an NFS server. Set nfs.server=HOST, or fileSystem.id and fileSystem.region for an EFS file system." -}}
{{- end -}}
{{- end -}}

{{- define "efs-provisioner.validate.mountOptions" -}}
{{- $kinds := list -}}
{{- $nfs := include "efs-provisioner.hasController" . -}}
{{- if $nfs -}}{{- $kinds = append $kinds "nfs" -}}{{- end -}}
{{- if include "efs-provisioner.onEfs" . -}}{{- $kinds = append $kinds "efs" -}}{{- end -}}
{{- if eq .Values.engine "existing" -}}
{{- if not (include "efs-provisioner.allStatic" .) -}}
{{- $kinds = append $kinds (include "efs-provisioner.mountKind" (list .facts .Values.provisionerName)) -}}
{{- end -}}
{{- range include "efs-provisioner.claims" . | fromYamlArray -}}
{{- if .sources.nfs -}}{{- $nfs = "true" -}}{{- $kinds = append $kinds "nfs" -}}{{- end -}}
{{- with .sources.csi -}}{{- $kinds = append $kinds (include "efs-provisioner.mountKind" (list $.facts .driver)) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- include "efs-provisioner.mountProblems" (dict "facts" .facts "path" "mountOptions" "options" .Values.mountOptions "kinds" $kinds "nfs" $nfs) -}}
{{- end -}}

{{- define "efs-provisioner.validate.claims" -}}
{{- $names := list -}}
{{- range $index, $claim := .Values.claims -}}
{{- $path := printf "claims[%d]" $index -}}
{{- range list "name" "size" -}}
{{- if not (get $claim .) -}}
{{- include "efs-provisioner.problem" (printf "%s.%s: a claim needs one. Write %s." $path . (ternary "the name that the pods mount, such as efs" "a size such as 1Mi (an EFS directory has none of its own)" (eq . "name"))) -}}
{{- end -}}
{{- end -}}
{{- if has $claim.name $names -}}
{{- include "efs-provisioner.problem" (printf "%s.name: %s is used twice. Give each claim its own name." $path $claim.name) -}}
{{- end -}}
{{- $names = append $names $claim.name -}}
{{- if and $claim.accessModes (not (has "ReadWriteMany" $claim.accessModes)) -}}
{{- include "efs-provisioner.problem" (printf "%s.accessModes: %s does not hold ReadWriteMany, so only one node could write and no server could take over. Add ReadWriteMany." $path (join ", " $claim.accessModes)) -}}
{{- end -}}
{{- if regexMatch "^0+(\\.0*)?[A-Za-z]*$" ($claim.size | default "") -}}
{{- include "efs-provisioner.problem" (printf "%s.size: %s is nothing. Ask for 1Mi or more." $path $claim.size) -}}
{{- end -}}
{{- end -}}
{{- range $index, $claim := include "efs-provisioner.claims" . | fromYamlArray -}}
{{- $path := printf "claims[%d].volume" $index -}}
{{- $sources := keys $claim.sources | sortAlpha -}}
{{- if and $sources (ne $.Values.engine "existing") -}}
{{- include "efs-provisioner.problem" (printf "%s: engine %s makes the volume itself. Take it out, or set engine=existing." $path $.Values.engine) -}}
{{- end -}}
{{- if gt (len $sources) 1 -}}
{{- include "efs-provisioner.problem" (printf "%s: %s are named together. Name exactly one of nfs, csi, hostPath and persistentVolume." $path (join ", " $sources)) -}}
{{- end -}}
{{- if and $claim.gid (not $sources) -}}
{{- include "efs-provisioner.problem" (printf "%s: no source is named. Name exactly one of nfs, csi, hostPath and persistentVolume." $path) -}}
{{- end -}}
{{- if and $claim.gid $claim.sources.persistentVolume -}}
{{- include "efs-provisioner.problem" (printf "%s.gid: the volume %s exists already. Annotate it with pv.beta.kubernetes.io/gid instead." $path $claim.sources.persistentVolume) -}}
{{- end -}}
{{- with $claim.sources.nfs -}}
{{- if not .path -}}
{{- include "efs-provisioner.problem" (printf "%s.nfs.path: it is empty. Set it to the exported directory, such as /srv/stan." $path) -}}
{{- end -}}
{{- end -}}
{{- with $claim.sources.hostPath -}}
{{- if eq .path "/" -}}
{{- include "efs-provisioner.problem" (printf "%s.hostPath.path: / is the node itself. Set it to a directory that every node mounts." $path) -}}
{{- end -}}
{{- end -}}
{{- with $claim.sources.csi -}}
{{- if not .volumeHandle -}}
{{- include "efs-provisioner.problem" (printf "%s.csi.volumeHandle: it is empty. Set it to the driver's handle, such as fs-0123456789abcdef0." $path) -}}
{{- else if and (eq .driver "efs.csi.aws.com") (not (regexMatch "^(efs:)?fs-[0-9a-f]{8}([0-9a-f]{9})?(:[^:]*){0,2}$" .volumeHandle)) -}}
{{- include "efs-provisioner.problem" (printf "%s.csi.volumeHandle: %q is no EFS handle. Write fs-ID, fs-ID:/path or fs-ID::fsap-ID." $path .volumeHandle) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What merging may not break: context, the Deployment as text. */}}
{{- define "efs-provisioner.validate.merged" -}}
{{- $made := index . 1 | fromYaml -}}
{{- $labels := dict -}}
{{- range list $made.spec (get ($made.spec | default dict) "template") -}}
{{- $labels = get (get (. | default dict) "metadata" | default dict) "labels" | default $labels -}}
{{- end -}}
{{- $wanted := include "efs-provisioner.selectorLabels" (index . 0) | fromYaml -}}
{{- if ne (toJson (dig "spec" "selector" "matchLabels" dict $made)) (toJson $wanted) -}}
{{- include "efs-provisioner.problem" "controller.merge.spec.selector: the controller's pods are found by it. Take it out of merge." -}}
{{- end -}}
{{- range $key, $label := $wanted -}}
{{- if ne (get $labels $key | toString) $label -}}
{{- include "efs-provisioner.problem" (printf "podTemplate.merge.metadata.labels: the controller is found by %s. Take it out of merge." $key) -}}
{{- end -}}
{{- end -}}
{{- $found := false -}}
{{- range dig "spec" "template" "spec" "containers" list $made -}}
{{- if and (kindIs "map" .) (eq (get . "name" | toString) "efs-provisioner") -}}{{- $found = true -}}{{- end -}}
{{- end -}}
{{- if not $found -}}
{{- include "efs-provisioner.problem" "podTemplate.merge.spec.containers: a list replaces the chart's, and the container efs-provisioner is not in it. Use container.merge." -}}
{{- end -}}
{{- end -}}

{{/* Only known against a cluster: who else holds the StorageClass or the provisioner name. */}}
{{- define "efs-provisioner.owner" -}}
{{- $annotations := (.metadata | default dict).annotations | default dict -}}
{{- with get $annotations "meta.helm.sh/release-name" -}}
{{- printf "%s/%s" (get $annotations "meta.helm.sh/release-namespace") . -}}
{{- end -}}
{{- end -}}

{{- define "efs-provisioner.validate.cluster" -}}
{{- $me := printf "%s/%s" .Release.Namespace .Release.Name -}}
{{- if and (include "efs-provisioner.hasController" .) .Values.rbac.create -}}
{{- $owner := lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" (include "efs-provisioner.clusterRoleName" .) | include "efs-provisioner.owner" -}}
{{- if and $owner (ne $owner $me) -}}
{{- include "efs-provisioner.problem" (printf "fullnameOverride: release %s already uses the name %s in the cluster's scope. Install this one under another release name, or set fullnameOverride." $owner (include "efs-provisioner.fullname" .)) -}}
{{- end -}}
{{- end -}}
{{- if .Values.storageClass.create -}}
{{- $class := .Values.storageClass -}}
{{- $provisioner := include "efs-provisioner.storageClassProvisioner" . -}}
{{- range (lookup "storage.k8s.io/v1" "StorageClass" "" "").items -}}
{{- $owner := include "efs-provisioner.owner" . -}}
{{- $others := and $owner (ne $owner $me) -}}
{{- if ne .metadata.name $class.name -}}
{{- if and $others (include "efs-provisioner.hasController" $) (eq .provisioner $provisioner) -}}
{{- include "efs-provisioner.problem" (printf "provisionerName: release %s already answers to %s (StorageClass %s), and two controllers would both make the volume. Give this release a name of its own, such as --set provisionerName=%s-2." $owner $provisioner .metadata.name $provisioner) -}}
{{- end -}}
{{- else if $others -}}
{{- include "efs-provisioner.problem" (printf "storageClass.name: the StorageClass %s belongs to release %s. Set storageClass.create=false to use it, or another storageClass.name." $class.name $owner) -}}
{{- else -}}
{{- $wanted := dict "provisioner" $provisioner "parameters" (include "efs-provisioner.parameters" $ | fromYaml) "reclaimPolicy" $class.reclaimPolicy "volumeBindingMode" $class.volumeBindingMode -}}
{{- $there := dict "provisioner" .provisioner "parameters" (.parameters | default dict) "reclaimPolicy" (.reclaimPolicy | default "Delete") "volumeBindingMode" (.volumeBindingMode | default "Immediate") -}}
{{- range $field := list "provisioner" "parameters" "reclaimPolicy" "volumeBindingMode" -}}
{{- if not (deepEqual (get $wanted $field) (get $there $field)) -}}
{{- include "efs-provisioner.problem" (printf "storageClass: %s of the StorageClass %s is %s and would become %s, which Kubernetes does not allow in place. Run `kubectl delete storageclass %s` (bound claims do not notice), then repeat." $field $class.name (get $there $field | toJson) (get $wanted $field | toJson) $class.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
