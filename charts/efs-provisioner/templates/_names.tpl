{{- /* Names of the objects. Installed as release "efs-provisioner" they are those of the recipe. */ -}}

{{- define "efs-provisioner.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* Cut at 40, so that every name made from it stays within 63 characters. */ -}}
{{- define "efs-provisioner.fullname" -}}
{{- $name := include "efs-provisioner.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "efs-provisioner.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "efs-provisioner.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "efs-provisioner.clusterRoleName" -}}
{{- printf "%s-runner" (include "efs-provisioner.fullname" .) -}}
{{- end -}}

{{- define "efs-provisioner.clusterRoleBindingName" -}}
{{- printf "run-%s" (include "efs-provisioner.fullname" .) -}}
{{- end -}}

{{- define "efs-provisioner.leaderRoleName" -}}
{{- printf "leader-locking-%s" (include "efs-provisioner.fullname" .) -}}
{{- end -}}

{{- /* The controllers name their lock after the provisioner (sig-storage-lib controller.go, Run). */ -}}
{{- define "efs-provisioner.lockName" -}}
{{- .Values.provisionerName | replace "/" "-" -}}
{{- end -}}

{{- /* The controller's own volume and claim; neither can change its place, so another file system makes another name. */ -}}
{{- define "efs-provisioner.ownVolumeName" -}}
{{- $place := printf "%s:%s" (include "efs-provisioner.nfsServer" .) (include "efs-provisioner.nfsPath" .) -}}
{{- printf "%s-root-%s" (include "efs-provisioner.fullname" .) (sha256sum $place | trunc 8) -}}
{{- end -}}

{{- /* The static volume of a claim: list of root context and claim. */ -}}
{{- define "efs-provisioner.volumeName" -}}
{{- $root := index . 0 -}}
{{- $claim := index . 1 -}}
{{- $volume := default dict $claim.volume -}}
{{- default (printf "%s-%s-%s" $root.Release.Namespace (include "efs-provisioner.fullname" $root) $claim.name) $volume.persistentVolume -}}
{{- end -}}
