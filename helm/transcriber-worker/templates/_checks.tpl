{{/* What can't work together, each naming its value; the release is refused with all of them at once. */}}
{{- define "worker.check" -}}
{{- $found := concat
      (include "worker.scalingProblems" . | fromYamlArray)
      (include "worker.kafkaProblems" . | fromYamlArray)
      (include "worker.secretProblems" . | fromYamlArray)
      (include "worker.volumeProblems" . | fromYamlArray)
      (include "worker.podProblems" . | fromYamlArray) }}
{{- if $found }}
{{- fail (printf "\n  these values can't work together:\n  - %s\n" (join "\n  - " $found)) }}
{{- end }}
{{- end }}

{{- define "worker.scalingProblems" -}}
{{- $config := include "worker.config" . | fromYaml }}
{{- $scaling := .Values.autoscaling }}
{{- $jobs := eq .Values.workload.kind "ScaledJob" }}
{{- $trigger := include "worker.trigger" . }}
{{- $found := list }}
{{- if and $jobs (not $scaling.enabled) }}
{{- $found = append $found "workload.kind ScaledJob needs autoscaling.enabled: nothing else would start its Jobs" }}
{{- end }}
{{- if $scaling.enabled }}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) }}
{{- $found = append $found (printf "autoscaling.minReplicas (%v) is above autoscaling.maxReplicas (%v): lower the one or raise the other" $scaling.minReplicas $scaling.maxReplicas) }}
{{- end }}
{{- if and $scaling.fallback (gt (int $scaling.fallback.replicas) (int $scaling.maxReplicas)) }}
{{- $found = append $found (printf "autoscaling.fallback.replicas (%v) is above autoscaling.maxReplicas (%v): lower the one or raise the other" $scaling.fallback.replicas $scaling.maxReplicas) }}
{{- end }}
{{- if and (eq $trigger "kafka") (ne $config.broker.kind "kafka") }}
{{- $found = append $found (printf "autoscaling.trigger kafka does not fit config.broker.kind %s: use backlog" $config.broker.kind) }}
{{- end }}
{{- if and (eq $trigger "backlog") (not (include "worker.exports" .)) }}
{{- $found = append $found (printf "autoscaling.trigger backlog needs the exporter: set exporter.enabled (it is %v, with config.broker.kind %s)" .Values.exporter.enabled $config.broker.kind) }}
{{- end }}
{{- end }}
{{- if gt (int (include "worker.most" .)) 1 }}
{{- if $config.worker.id }}
{{- $found = append $found "config.worker.id is one name for several workers: leave it out, the pod's name is the default" }}
{{- end }}
{{- if and (eq $config.broker.kind "kafka") $config.broker.kafka.group_instance_id }}
{{- $found = append $found "config.broker.kafka.group_instance_id is one name for several workers, which would shut each other out: leave it out" }}
{{- end }}
{{- end }}
{{- toYaml $found }}
{{- end }}

{{- define "worker.kafkaProblems" -}}
{{- $config := include "worker.config" . | fromYaml }}
{{- $kafka := $config.broker.kafka }}
{{- $found := list }}
{{- if eq $config.broker.kind "kafka" }}
{{- $count := ternary "autoscaling.maxReplicas" "workload.replicas" .Values.autoscaling.enabled }}
{{- $most := int (include "worker.most" .) }}
{{- if .Values.kafkaPartitions }}
{{- if gt $most (int .Values.kafkaPartitions) }}
{{- $found = append $found (printf "%s (%d) is above kafkaPartitions (%v): workers without a partition hold a GPU and idle; lower it, or give the topic more partitions" $count $most .Values.kafkaPartitions) }}
{{- end }}
{{- else if gt $most 1 }}
{{- $found = append $found (printf "kafkaPartitions is not set: say how many partitions the topic has, for %s (%d) must not be above it" $count $most) }}
{{- end }}
{{- if and (eq .Values.workload.kind "ScaledJob") (le (float64 $config.worker.exit_when_idle_s) (float64 $kafka.session_timeout_s)) }}
{{- $found = append $found (printf "config.worker.exit_when_idle_s (%v) must be above config.broker.kafka.session_timeout_s (%v): a Job would exit before it was given a partition" $config.worker.exit_when_idle_s $kafka.session_timeout_s) }}
{{- end }}
{{- if and .Values.autoscaling.enabled (eq (include "worker.trigger" .) "kafka") }}
{{- $parameters := list }}
{{- range (default dict .Values.autoscaling.triggerAuthentication).secretTargetRef }}{{ $parameters = append $parameters .parameter }}{{ end }}
{{- $needed := list }}
{{- if hasPrefix "sasl" $kafka.security_protocol }}{{ $needed = list "username" "password" }}{{ end }}
{{- if $kafka.certificate_file }}{{ $needed = concat $needed (list "cert" "key") }}{{ end }}
{{- range $needed }}
{{- if not (has . $parameters) }}
{{- $found = append $found (printf "autoscaling.triggerAuthentication.secretTargetRef lacks the parameter %s, which KEDA needs for config.broker.kafka.security_protocol %s" . $kafka.security_protocol) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $found }}
{{- end }}

{{/* A file that nothing mounts would be missed by the pod, long after the installation. */}}
{{- define "worker.secretProblems" -}}
{{- $config := include "worker.config" . | fromYaml }}
{{- $found := list }}
{{- if eq $config.broker.kind "kafka" }}
{{- range $key := list "password" "certificate_file" "key_file" "key_password" }}
{{- $reference := get $config.broker.kafka $key | default "env:" }}
{{- $path := trimPrefix "file:" $reference }}
{{- $mounted := hasPrefix "env:" $reference }}
{{- range concat (default list $.Values.secrets) (default list $.Values.volumeMounts) }}
{{- if hasPrefix (printf "%s/" (trimSuffix "/" .mountPath)) $path }}{{ $mounted = true }}{{ end }}
{{- end }}
{{- if not $mounted }}
{{- $found = append $found (printf "config.broker.kafka.%s %s lies in nothing that is mounted: name its Secret in secrets, with a mountPath above it" $key $reference) }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $found }}
{{- end }}

{{- define "worker.volumeProblems" -}}
{{- $config := include "worker.config" . | fromYaml }}
{{- $most := int (include "worker.most" .) }}
{{- $several := or (gt $most 1) (and (eq $config.broker.kind "directory") (include "worker.exports" .)) }}
{{- $cache := .Values.modelCache }}
{{- $found := list }}
{{- if eq $cache.kind "claim" }}
{{- $shared := or (has "ReadWriteMany" $cache.accessModes) (and (has "ReadOnlyMany" $cache.accessModes) (not (include "worker.fetches" .))) }}
{{- if and (gt $most 1) (not $shared) (ne (toString $cache.accessModes) "[ReadOnlyMany]") }}
{{- $found = append $found (printf "modelCache.accessModes %v is for one node, and there may be %d workers: use ReadWriteMany, ReadOnlyMany with the model in it, or modelCache.kind emptyDir" $cache.accessModes $most) }}
{{- end }}
{{- if and (include "worker.fetches" .) (eq (toString $cache.accessModes) "[ReadOnlyMany]") }}
{{- $found = append $found "modelCache.fetch.enabled can't write to modelCache.accessModes [ReadOnlyMany]: put the model there yourself and set fetch.enabled to false" }}
{{- end }}
{{- if and (not $cache.existingClaim) (not (include "worker.fetches" .)) }}
{{- $found = append $found "modelCache.kind claim without existingClaim makes an empty one: set modelCache.fetch.enabled, or name the claim that has the model" }}
{{- end }}
{{- end }}
{{- if and (include "worker.usesData" .) $several (not (has "ReadWriteMany" .Values.data.accessModes)) }}
{{- $found = append $found (printf "data.accessModes %v is for one pod, and several would use it (%d workers, exporter.enabled %v): use ReadWriteMany" .Values.data.accessModes $most .Values.exporter.enabled) }}
{{- end }}
{{- if not .Values.scratch.volume }}
{{- $scratch := include "worker.bytes" .Values.scratch.size | int64 }}
{{- range $name, $bytes := dict "config.worker.max_scratch_bytes" $config.worker.max_scratch_bytes "config.storage.max_source_bytes" $config.storage.max_source_bytes }}
{{- if lt $scratch (int64 $bytes) }}
{{- $found = append $found (printf "scratch.size (%s) is below %s (%d): raise it, or the kubelet evicts the pod" $.Values.scratch.size $name (int64 $bytes)) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $path := dict "config.worker.scratch_dir" $config.worker.scratch_dir "config.model.cache_dir" $config.model.cache_dir }}
{{- if or (not (hasPrefix "/" $path)) (has $path (list "/" "/tmp" "/dev/shm" $.Values.data.mountPath)) }}
{{- $found = append $found (printf "%s %s can't be mounted: name an absolute path of its own" $name $path) }}
{{- end }}
{{- end }}
{{- if eq $config.worker.scratch_dir $config.model.cache_dir }}
{{- $found = append $found "config.model.cache_dir is config.worker.scratch_dir: name a directory of its own" }}
{{- end }}
{{- include "worker.placeProblems" . | fromYamlArray | concat $found | toYaml }}
{{- end }}

{{/* Local places must lie on the data volume: the root filesystem is read-only, and nothing else lasts. */}}
{{- define "worker.placeProblems" -}}
{{- $config := include "worker.config" . | fromYaml }}
{{- $found := list }}
{{- $mount := printf "%s/" (trimSuffix "/" .Values.data.mountPath) }}
{{- $written := dict "config.storage.output" $config.storage.output "config.storage.state" $config.storage.state "config.storage.uploads" $config.storage.uploads }}
{{- if eq $config.broker.kind "directory" }}
{{- $_ := set $written "config.broker.directory.path" $config.broker.directory.path }}
{{- end }}
{{- range $name, $place := $written }}
{{- $path := trimPrefix "file://" (default "" $place) }}
{{- if and $path (not (contains "://" $path)) (not (hasPrefix $mount (printf "%s/" $path))) }}
{{- $found = append $found (printf "%s %s does not lie on the data volume: name a path below data.mountPath (%s), or an oci:// prefix" $name $place $.Values.data.mountPath) }}
{{- end }}
{{- end }}
{{- toYaml $found }}
{{- end }}

{{- define "worker.podProblems" -}}
{{- $config := include "worker.config" . | fromYaml }}
{{- $found := list }}
{{- $grace := int (include "worker.grace" .) }}
{{- with .Values.terminationGracePeriodSeconds }}
{{- if lt (int .) $grace }}
{{- $found = append $found (printf "terminationGracePeriodSeconds (%v) is below %d: preStopSeconds (%v) + config.worker.drain_s (%v) + %s s of handing back; leave it out, or raise it" . $grace $.Values.preStopSeconds $config.worker.drain_s (include "worker.handBack" $)) }}
{{- end }}
{{- end }}
{{- if not $config.observability.http_port }}
{{- $found = append $found "config.observability.http_port 0 leaves nothing for the probes to ask: set a port" }}
{{- end }}
{{- range $name, $host := dict "config.observability.http_host" $config.observability.http_host "config.exporter.http_host" $config.exporter.http_host }}
{{- if or (hasPrefix "127." $host) (has $host (list "localhost" "::1")) }}
{{- $found = append $found (printf "%s %s is heard inside the pod only, and the probes come from outside: leave it out" $name $host) }}
{{- end }}
{{- end }}
{{- if and (include "worker.exports" .) (not $config.exporter.http_port) }}
{{- $found = append $found "config.exporter.http_port 0 is no port that a Service can name: set one" }}
{{- end }}
{{- $gpus := 0 }}
{{- range $name, $count := (default dict .Values.resources).limits }}
{{- if regexMatch "gpu|/mig-" $name }}{{ $gpus = add $gpus (int $count) }}{{ end }}
{{- end }}
{{- if and (eq $config.model.device "cuda") (not $gpus) }}
{{- $found = append $found "config.model.device cuda needs a GPU: set resources.limits (nvidia.com/gpu: 1)" }}
{{- end }}
{{- if and (eq $config.model.device "cpu") $gpus }}
{{- $found = append $found "config.model.device cpu leaves the GPU of resources.limits idle: set nvidia.com/gpu to null there, or another device" }}
{{- end }}
{{- if gt (int $gpus) 1 }}
{{- $found = append $found (printf "resources.limits asks for %d GPUs, and a worker uses one: raise the number of workers instead" (int $gpus)) }}
{{- end }}
{{- if and (eq $config.oci.auth "workload_identity") (include "worker.usesOci" .) (eq (toString .Values.serviceAccount.automountToken) "false") }}
{{- $found = append $found "serviceAccount.automountToken false takes away the token that config.oci.auth workload_identity needs: leave it auto" }}
{{- end }}
{{- toYaml $found }}
{{- end }}
