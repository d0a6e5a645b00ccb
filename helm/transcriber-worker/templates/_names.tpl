{{- define "worker.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{/* Short enough for the suffixes that objects add to it; a Service's name has no dots, which a release's may have. */}}
{{- define "worker.fullname" -}}
{{- $name := include "worker.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | replace "." "-" | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | replace "." "-" | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "worker.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: transcriber-worker
{{- end }}

{{/* Of (dict "root" $ "component" "worker"). */}}
{{- define "worker.selectorLabels" -}}
app.kubernetes.io/name: {{ include "worker.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Name, namespace and labels of an object: (dict "root" $ "component" "worker" "suffix" "-config"). */}}
{{- define "worker.metadata" -}}
name: {{ include "worker.fullname" .root }}{{ .suffix }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "worker.selectorLabels" . | nindent 2 }}
  {{- include "worker.labels" .root | nindent 2 }}
{{- end }}

{{- define "worker.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository $tag }}
{{- end }}
{{- end }}

{{- define "worker.exporterImage" -}}
{{- $own := .Values.exporter.image }}
{{- if and (not $own.repository) (not $own.tag) (not $own.digest) }}
{{- include "worker.image" . }}
{{- else if $own.digest }}
{{- printf "%s@%s" (default .Values.image.repository $own.repository) $own.digest }}
{{- else }}
{{- printf "%s:%s" (default .Values.image.repository $own.repository) ($own.tag | default .Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "worker.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "worker.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}
