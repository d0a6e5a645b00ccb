{{/* The TCP ports that the configuration leads to: HTTPS, brokers, endpoints, workload identity's. */}}
{{- define "worker.ports" -}}
{{- $config := include "worker.config" . | fromYaml }}
{{- $ports := list 443 }}
{{- if eq $config.broker.kind "kafka" }}
{{- range splitList "," $config.broker.kafka.bootstrap_servers }}
{{- $ports = append $ports (regexFind "[0-9]+$" (trim .) | default "9092" | int) }}
{{- end }}
{{- end }}
{{- $queue := $config.broker.oci_queue }}
{{- $urls := compact (list $queue.endpoint $queue.admin_endpoint $queue.results_endpoint $config.oci.object_storage_endpoint) }}
{{- range $config.storage.allowed_sources }}
{{- if hasPrefix "https://" . }}{{ $urls = append $urls . }}{{ end }}
{{- end }}
{{- range $urls }}
{{- $host := (urlParse .).host }}
{{- $default := ternary "80" "443" (hasPrefix "http://" .) }}
{{- $ports = append $ports (regexFind ":[0-9]+$" $host | trimPrefix ":" | default $default | int) }}
{{- end }}
{{- if include "worker.usesWorkloadIdentity" (dict "root" . "usesOci" (include "worker.usesOci" .)) }}
{{- $ports = append $ports 12250 }}
{{- end }}
{{- toYaml (uniq $ports) }}
{{- end }}
