{{/* Images by registry, repository, tag or digest. */}}

{{/* Reference of an image: context, image, and the tag to use when it names none. */}}
{{- define "stan-ft.image" -}}
{{- $registry := .image.registry | default .context.Values.global.imageRegistry -}}
{{- $name := ternary (printf "%s/%s" $registry .image.repository) .image.repository (ne $registry "") -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- $tag := .image.tag | default .tag -}}
{{- if not $tag -}}
{{- fail (printf "the image %s has neither a tag nor a digest: give it one of them" $name) -}}
{{- end -}}
{{- printf "%s:%s" $name $tag -}}
{{- end -}}
{{- end -}}

{{- define "stan-ft.imagePullSecrets" -}}
{{- with concat .Values.global.imagePullSecrets .Values.image.pullSecrets | uniq }}
imagePullSecrets:
{{- range . }}
  - name: {{ quote . }}
{{- end }}
{{- end }}
{{- end -}}
