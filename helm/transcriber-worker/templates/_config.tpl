{{/* The worker's own defaults that the chart reckons with; tests/chart holds them to settings/. */}}
{{- define "worker.defaults" -}}
broker:
  kind: directory
  directory: {path: spool}
  kafka:
    bootstrap_servers: ""
    topic: ""
    group: transcriber-worker
    security_protocol: plaintext
    sasl_mechanism: PLAIN
    group_instance_id: null
    password: null
    certificate_file: null
    key_file: null
    key_password: null
    session_timeout_s: 45
  oci_queue: {endpoint: null, admin_endpoint: null, results_endpoint: null}
oci: {auth: auto, object_storage_endpoint: null}
storage: {output: transcripts, state: null, uploads: null, allowed_sources: [], allowed_outputs: [], max_source_bytes: 4294967296}
model: {name: base, cache_dir: .models, device: auto}
worker: {id: null, max_scratch_bytes: 21474836480, scratch_dir: /tmp/transcriber-scratch, drain_s: 300, exit_when_idle_s: 5}
observability: {http_host: 0.0.0.0, http_port: 9090}
exporter: {http_host: 0.0.0.0, http_port: 9100}
{{- end }}

{{/* The configuration as the worker will see it, as far as the chart needs it. */}}
{{- define "worker.config" -}}
{{- mergeOverwrite (include "worker.defaults" . | fromYaml) (deepCopy .Values.config) | toYaml }}
{{- end }}

{{/* How long jobs told to hand back may take, in seconds: the worker's own constant; tests/chart holds it to that. */}}
{{- define "worker.handBack" -}}30{{- end }}

{{/* preStop + drain + hand-back. */}}
{{- define "worker.grace" -}}
{{- $config := include "worker.config" . | fromYaml }}
{{- add .Values.preStopSeconds (ceil $config.worker.drain_s) (include "worker.handBack" .) }}
{{- end }}

{{/* Everything that is a place, one a line. */}}
{{- define "worker.places" -}}
{{- $config := include "worker.config" . | fromYaml }}
{{- $storage := $config.storage }}
{{- $places := list $storage.output $storage.state $storage.uploads }}
{{- if eq $config.broker.kind "directory" }}
{{- $places = append $places $config.broker.directory.path }}
{{- end }}
{{- concat $places $storage.allowed_sources $storage.allowed_outputs | compact | join "\n" }}
{{- end }}

{{/* Whether anything is kept on the data volume. */}}
{{- define "worker.usesData" -}}
{{- $mount := printf "%s/" (trimSuffix "/" .Values.data.mountPath) }}
{{- range splitList "\n" (include "worker.places" .) }}
{{- if hasPrefix $mount (printf "%s/" (trimPrefix "file://" . | trimSuffix "/")) }}true{{ break }}{{ end }}
{{- end }}
{{- end }}

{{- define "worker.usesOci" -}}
{{- $config := include "worker.config" . | fromYaml }}
{{- if or (eq $config.broker.kind "oci_queue") (contains "oci://" (include "worker.places" .)) (hasPrefix "oci://" .Values.modelCache.fetch.from) }}true{{ end }}
{{- end }}

{{/* Whether a pod may have to prove who it is by its service account's token: (dict "root" $ "usesOci" "true" or ""). */}}
{{- define "worker.usesWorkloadIdentity" -}}
{{- $config := include "worker.config" .root | fromYaml }}
{{- if and .usesOci (has $config.oci.auth (list "auto" "workload_identity")) }}true{{ end }}
{{- end }}

{{- define "worker.automountToken" -}}
{{- if eq (toString .root.Values.serviceAccount.automountToken) "auto" }}
{{- default "false" (include "worker.usesWorkloadIdentity" .) }}
{{- else }}
{{- .root.Values.serviceAccount.automountToken }}
{{- end }}
{{- end }}

{{/* Whether there is anything for the init container to fetch. */}}
{{- define "worker.fetches" -}}
{{- $config := include "worker.config" . | fromYaml }}
{{- $named := not (or (eq $config.model.name "fake") (contains "/" $config.model.name)) }}
{{- if and .Values.modelCache.fetch.enabled (ne .Values.modelCache.kind "image") $named }}true{{ end }}
{{- end }}

{{/* Most workers there will be. */}}
{{- define "worker.most" -}}
{{- ternary .Values.autoscaling.maxReplicas .Values.workload.replicas .Values.autoscaling.enabled }}
{{- end }}

{{/* kafka or backlog. */}}
{{- define "worker.trigger" -}}
{{- $config := include "worker.config" . | fromYaml }}
{{- if ne .Values.autoscaling.trigger "auto" }}
{{- .Values.autoscaling.trigger }}
{{- else }}
{{- ternary "kafka" "backlog" (and (eq $config.broker.kind "kafka") (not $config.broker.kafka.certificate_file)) }}
{{- end }}
{{- end }}

{{- define "worker.exports" -}}
{{- $config := include "worker.config" . | fromYaml }}
{{- $wanted := toString .Values.exporter.enabled }}
{{- if eq $wanted "auto" }}{{ $wanted = toString (ne $config.broker.kind "directory") }}{{ end }}
{{- if eq $wanted "true" }}true{{ end }}
{{- end }}

{{/* A quantity such as 1.5Gi in bytes. */}}
{{- define "worker.bytes" -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 }}
{{- $number := regexFind "^[0-9.]+" . }}
{{- mulf (float64 $number) (get $units (trimPrefix $number .) | float64) | int64 }}
{{- end }}
