{{/* Volumes that any pod of the release may need. */}}
{{- define "worker.commonVolumes" -}}
- name: config
  configMap: {name: {{ include "worker.fullname" . }}-config}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
{{- if include "worker.usesData" . }}
- name: data
  persistentVolumeClaim: {claimName: {{ default (printf "%s-data" (include "worker.fullname" .)) .Values.data.existingClaim }}}
{{- end }}
{{- range $index, $secret := .Values.secrets }}
- name: secret-{{ $index }}
  secret: {secretName: {{ $secret.name | quote }}, defaultMode: 0440}
{{- end }}
{{- with .Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "worker.commonMounts" -}}
- {name: config, mountPath: /etc/transcriber/config, readOnly: true}
{{- range $index, $secret := .Values.secrets }}
- {name: secret-{{ $index }}, mountPath: {{ $secret.mountPath | quote }}, readOnly: true}
{{- end }}
{{- with .Values.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "worker.dataMount" -}}
{{- if include "worker.usesData" . -}}
- {name: data, mountPath: {{ .Values.data.mountPath | quote }}}
{{- end }}
{{- end }}

{{/* Environment of every container: (dict "root" $ "own" (list ...)). */}}
{{- define "worker.environment" -}}
{{- with concat .own (default list .root.Values.env) -}}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What all pods of the release have in common: (dict "root" $ "usesOci" "true" or ""). */}}
{{- define "worker.commonPodSpec" -}}
{{- $values := .root.Values -}}
serviceAccountName: {{ include "worker.serviceAccount" .root }}
automountServiceAccountToken: {{ include "worker.automountToken" . }}
{{- with $values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "worker.podAnnotations" -}}
checksum/config: {{ toYaml .Values.config | sha256sum }}
{{- with .Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "worker.modelFetcher" -}}
- name: fetch-model
  image: {{ include "worker.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [transcriber-worker, fetch-model, --config, /etc/transcriber/config/config.yaml]
  {{- with .Values.modelCache.fetch.from }}
  args: [--from, {{ . | quote }}]
  {{- end }}
  {{- include "worker.environment" (dict "root" . "own" (list (dict "name" "HOME" "value" "/tmp"))) | nindent 2 }}
  securityContext:
    {{- toYaml .Values.securityContext | nindent 4 }}
  resources:
    requests: {cpu: 100m, memory: 512Mi}
    limits: {memory: 1Gi}
  volumeMounts:
    {{- include "worker.commonMounts" . | nindent 4 }}
    - {name: tmp, mountPath: /tmp}
    - {name: models, mountPath: {{ (include "worker.config" . | fromYaml).model.cache_dir | quote }}}
{{- end }}

{{/* The container that works: (dict "root" $ "arguments" (list ...)). */}}
{{- define "worker.container" -}}
{{- $root := .root }}
{{- $values := $root.Values }}
{{- $config := include "worker.config" $root | fromYaml }}
{{- $own := list }}
{{- $offline := or (ne $values.modelCache.kind "emptyDir") (eq (include "worker.fetches" $root) "true") }}
{{- if $offline }}
{{- $own = list (dict "name" "TRANSCRIBER__MODEL__OFFLINE" "value" "true") }}
{{- end -}}
- name: worker
  image: {{ include "worker.image" $root | quote }}
  imagePullPolicy: {{ $values.image.pullPolicy }}
  command: [transcriber-worker, run, --config, /etc/transcriber/config/config.yaml]
  {{- with .arguments }}
  args: {{ toJson . }}
  {{- end }}
  {{- include "worker.environment" (dict "root" $root "own" $own) | nindent 2 }}
  ports:
    - {name: http, containerPort: {{ int $config.observability.http_port }}}
  startupProbe: {{- mergeOverwrite (dict "httpGet" (dict "path" "/livez" "port" "http")) (default dict $values.probes.startup) | toYaml | nindent 4 }}
  livenessProbe: {{- mergeOverwrite (dict "httpGet" (dict "path" "/livez" "port" "http")) (default dict $values.probes.liveness) | toYaml | nindent 4 }}
  readinessProbe: {{- mergeOverwrite (dict "httpGet" (dict "path" "/readyz" "port" "http")) (default dict $values.probes.readiness) | toYaml | nindent 4 }}
  {{- if $values.preStopSeconds }}
  lifecycle:
    preStop: {sleep: {seconds: {{ $values.preStopSeconds }}}}
  {{- end }}
  resources:
    {{- toYaml $values.resources | nindent 4 }}
  securityContext:
    {{- toYaml $values.securityContext | nindent 4 }}
  volumeMounts:
    {{- include "worker.commonMounts" $root | nindent 4 }}
    - {name: tmp, mountPath: /tmp}
    - {name: scratch, mountPath: {{ $config.worker.scratch_dir | quote }}}
    - {name: shm, mountPath: /dev/shm}
    {{- if ne $values.modelCache.kind "image" }}
    - {name: models, mountPath: {{ $config.model.cache_dir | quote }}, readOnly: {{ $offline }}}
    {{- end }}
    {{- include "worker.dataMount" $root | nindent 4 }}
{{- end }}

{{/* A worker's pod: (dict "root" $ "restartPolicy" "Always"), with "arguments" and "annotations" where there are any. */}}
{{- define "worker.pod" -}}
{{- $root := .root }}
{{- $values := $root.Values -}}
metadata:
  labels:
    {{- include "worker.selectorLabels" (dict "root" $root "component" "worker") | nindent 4 }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    {{- include "worker.podAnnotations" $root | nindent 4 }}
    {{- with .annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "worker.commonPodSpec" (dict "root" $root "usesOci" (include "worker.usesOci" $root)) | nindent 2 }}
  restartPolicy: {{ .restartPolicy }}
  terminationGracePeriodSeconds: {{ default (include "worker.grace" $root | int) $values.terminationGracePeriodSeconds }}
  {{- with $values.runtimeClassName }}
  runtimeClassName: {{ . | quote }}
  {{- end }}
  {{- if include "worker.fetches" $root }}
  initContainers:
    {{- include "worker.modelFetcher" $root | nindent 4 }}
  {{- end }}
  containers:
    {{- include "worker.container" . | nindent 4 }}
  volumes:
    {{- include "worker.commonVolumes" $root | nindent 4 }}
    - name: scratch
      {{- default (dict "emptyDir" (dict "sizeLimit" $values.scratch.size)) $values.scratch.volume | toYaml | nindent 6 }}
    - name: shm
      emptyDir: {medium: Memory, sizeLimit: {{ $values.shm.size }}}
    {{- if eq $values.modelCache.kind "emptyDir" }}
    - name: models
      emptyDir: {sizeLimit: {{ $values.modelCache.size }}}
    {{- else if eq $values.modelCache.kind "claim" }}
    - name: models
      persistentVolumeClaim:
        claimName: {{ default (printf "%s-models" (include "worker.fullname" $root)) $values.modelCache.existingClaim }}
        # A claim that is ReadOnlyMany can't be mounted otherwise.
        readOnly: {{ not (include "worker.fetches" $root) }}
    {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- $selector := include "worker.selectorLabels" (dict "root" $root "component" "worker") | fromYaml }}
    {{- range . }}
    - {{- mergeOverwrite (dict "labelSelector" (dict "matchLabels" $selector)) . | toYaml | nindent 6 }}
    {{- end }}
  {{- end }}
{{- end }}
