{{/*
The values over what the profile says, over what profile `default` says; then `pilot.X` over `X`. Every template starts from these:
  {{- $values := include "weft.values" . | fromYaml }}
*/}}
{{- define "weft.values" -}}
{{- $merged := .Files.Get "files/profile-default.yaml" | fromYaml }}
{{- $profile := .Values.profile | default "default" }}
{{- with .Files.Get (printf "files/profile-%s.yaml" $profile) }}
{{- $merged = mustMergeOverwrite $merged (fromYaml .) }}
{{- else }}
{{- fail (printf "profile: there is no profile %q; there are default, demo and minimal" $profile) }}
{{- end }}
{{- $user := deepCopy .Values }}
{{- $pilot := $user.pilot | default dict }}
{{- $merged = mustMergeOverwrite $merged (omit $user "pilot") $pilot }}
{{- if not $merged.global.tag }}
{{- $_ := set $merged.global "tag" .Chart.AppVersion }}
{{- end }}
{{- toYaml $merged }}
{{- end }}

{{/* "" or "-REVISION": the end of names that a second control plane must not share. */}}
{{- define "weft.suffix" -}}
{{- if .Values.revision }}-{{ .Values.revision }}{{ end }}
{{- end }}

{{- define "weft.revision" -}}
{{- .Values.revision | default "default" }}
{{- end }}

{{- define "weft.name" -}}
istiod{{ include "weft.suffix" . }}
{{- end }}

{{- define "weft.labels" -}}
app: istiod
istio.io/rev: {{ include "weft.revision" . | quote }}
release: {{ .Release.Name }}
app.kubernetes.io/name: istiod
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: weft
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Labels of pods that a Deployment or Service selects by; they never change with a version. */}}
{{- define "weft.selector" -}}
app: istiod
{{- if .Values.revision }}
istio.io/rev: {{ .Values.revision | quote }}
{{- else }}
istio: pilot
{{- end }}
{{- end }}

{{/* Image of the control plane; argument: the merged values. */}}
{{- define "weft.image" -}}
{{- if contains "/" .image }}
{{- .image }}
{{- else }}
{{- $variant := .variant | default .global.variant }}
{{- printf "%s/%s:%s" (.hub | default .global.hub) .image (.tag | default .global.tag) }}{{ if $variant }}-{{ $variant }}{{ end }}
{{- end }}
{{- end }}

{{/* What a namespace must not be for its pods to be injected by its label: the cluster's own, and the control plane's, which must start first. */}}
{{- define "weft.systemNamespaces" -}}
[kube-system, kube-public, kube-node-lease, {{ .Release.Namespace }}]
{{- end }}
