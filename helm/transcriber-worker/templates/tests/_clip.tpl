{{/* Whether `helm test` has anything to submit. */}}
{{- define "worker.testable" -}}
{{- $config := include "worker.config" . | fromYaml }}
{{- if or .Values.test.source (eq $config.broker.kind "directory") $config.storage.uploads }}true{{ end }}
{{- end }}
