{{- define "weft.labels" -}}
app: istio-reader
release: {{ .Release.Name }}
app.kubernetes.io/name: weft-base
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: weft
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{/*
"true" where the object is there already and another release made it, such as Istio's own base chart: then it is left as it is.
Argument: list of the context, apiVersion, kind, namespace ("" for none), name. `helm template` asks no cluster, so nothing is foreign to it.
*/}}
{{- define "weft.foreign" -}}
{{- $context := index . 0 }}
{{- $found := lookup (index . 1) (index . 2) (index . 3) (index . 4) }}
{{- if $found }}
{{- $annotations := $found.metadata.annotations | default dict }}
{{- if ne (get $annotations "meta.helm.sh/release-name") $context.Release.Name }}true{{ end }}
{{- end }}
{{- end }}
