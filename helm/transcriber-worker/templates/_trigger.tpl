{{/* What KEDA asks: committed lag counts unfinished work, and so does the exporter's backlog. */}}
{{- define "worker.triggerSpec" -}}
{{- $config := include "worker.config" . | fromYaml }}
{{- $scaling := .Values.autoscaling }}
{{- $each := int64 $scaling.messagesPerWorker | toString }}
{{- $metadata := dict }}
{{- $type := "metrics-api" }}
{{- if eq (include "worker.trigger" .) "kafka" }}
{{- $type = "kafka" }}
{{- $kafka := $config.broker.kafka }}
{{- $metadata = dict "bootstrapServers" $kafka.bootstrap_servers "topic" $kafka.topic "consumerGroup" $kafka.group
      "lagThreshold" $each "offsetResetPolicy" "earliest" "limitToPartitionsWithLag" "true" }}
{{- if hasPrefix "sasl" $kafka.security_protocol }}
{{- $_ := set $metadata "sasl" (get (dict "PLAIN" "plaintext" "SCRAM-SHA-256" "scram_sha256" "SCRAM-SHA-512" "scram_sha512") $kafka.sasl_mechanism) }}
{{- end }}
{{- if hasSuffix "ssl" $kafka.security_protocol }}
{{- $_ := set $metadata "tls" "enable" }}
{{- end }}
{{- else }}
{{- $metadata = dict "url" (printf "http://%s-exporter.%s.svc:%d/v1/backlog" (include "worker.fullname" .) .Release.Namespace (int $config.exporter.http_port))
      "valueLocation" "backlog" "targetValue" $each }}
{{- end }}
type: {{ $type }}
metadata:
  {{- mergeOverwrite $metadata (default dict $scaling.triggerMetadata) | toYaml | nindent 2 }}
{{- if $scaling.triggerAuthentication }}
authenticationRef: {name: {{ include "worker.fullname" . }}}
{{- end }}
{{- end }}
