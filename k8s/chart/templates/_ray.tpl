{{/* Pod templates of Ray's nodes. */}}

{{/*
A pod template. Call with a dict: root, component, group (the section of the values), image, resources, and
where they apply: ports (the head's), database (wait for it first), spread (list of constraints), automount.
The first container must be Ray's: KubeRay looks for it there.
*/}}
{{- define "tailorbird.rayPodTemplate" -}}
{{- $root := .root -}}
metadata:
  labels:
    {{- include "tailorbird.podLabels" (list $root .component) | nindent 4 }}
  annotations:
    # Other settings make other pods, and thereby a new cluster beside the old one.
    checksum/settings: {{ include "tailorbird.settings" $root | sha256sum }}
    {{- if hasKey .group "maxReplicas" }}
    # KubeRay ignores a change of nothing but these numbers. Here they make it start a cluster that has them.
    tailorbird/replicas: {{ printf "%d-%d" (int .group.minReplicas) (int .group.maxReplicas) }}
    {{- end }}
    {{- with $root.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "tailorbird.serviceAccountName" $root }}
  # Only the head's autoscaler talks to Kubernetes.
  automountServiceAccountToken: {{ default false .automount }}
  # Kubernetes would set TAILORBIRD_PORT and the like for services, and the settings refuse what they do not know.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $root.Values.terminationGracePeriodS }}
  {{- include "tailorbird.pullSecrets" $root | nindent 2 }}
  securityContext:
    {{- include "tailorbird.podSecurityContext" $root | nindent 4 }}
  {{- if .database }}
  initContainers:
    - name: wait-for-database
      image: {{ .image }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: [python, /etc/tailorbird/scripts/check_database.py, {{ $root.Values.database.waitS | quote }}]
      env:
        {{- include "tailorbird.settingsEnv" $root | nindent 8 }}
      resources:
        requests: {cpu: 100m, memory: 256Mi}
        limits: {memory: 512Mi}
      securityContext:
        {{- include "tailorbird.containerSecurityContext" $root | nindent 8 }}
      volumeMounts:
        {{- include "tailorbird.volumeMounts" $root | nindent 8 }}
        - {name: scripts, mountPath: /etc/tailorbird/scripts, readOnly: true}
  {{- end }}
  containers:
    - name: ray
      image: {{ .image }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      env:
        {{- include "tailorbird.rayEnv" $root | nindent 8 }}
      {{- include "tailorbird.envFrom" $root | nindent 6 }}
      ports:
        {{- if .ports }}
        - {name: gcs-server, containerPort: 6379}
        - {name: dashboard, containerPort: 8265}
        - {name: client, containerPort: 10001}
        {{- end }}
        - {name: metrics, containerPort: 8080}
        - {name: serve, containerPort: 8000}
      resources:
        {{- toYaml .resources | nindent 8 }}
      securityContext:
        {{- include "tailorbird.containerSecurityContext" $root | nindent 8 }}
      volumeMounts:
        {{- include "tailorbird.volumeMounts" $root | nindent 8 }}
  volumes:
    {{- include "tailorbird.volumes" $root | nindent 4 }}
    {{- if .database }}
    - name: scripts
      configMap:
        name: {{ include "tailorbird.fullname" $root }}-scripts
    {{- end }}
  {{- with .spread }}
  topologySpreadConstraints:
    {{- include "tailorbird.topologySpread" (list $root $.component .) | nindent 4 }}
  {{- end }}
  {{- include "tailorbird.placement" .group | nindent 2 }}
{{- end -}}

{{- define "tailorbird.rayStartParams" -}}
num-cpus: {{ index . 1 | quote }}
object-store-memory: {{ (index . 0).Values.objectStoreBytes | int64 | quote }}
{{- end -}}

{{- define "tailorbird.authOptions" -}}
mode: token
{{- with .Values.rayToken.existingSecret }}
secretName: {{ . }}
{{- end }}
{{- end -}}

{{/* The cluster that serves. */}}
{{- define "tailorbird.serveCluster" -}}
rayVersion: {{ .Values.rayVersion | quote }}
authOptions:
  {{- include "tailorbird.authOptions" . | nindent 2 }}
enableInTreeAutoscaling: {{ .Values.autoscaler.enabled }}
{{- if .Values.autoscaler.enabled }}
autoscalerOptions:
  version: v2
  idleTimeoutSeconds: {{ .Values.autoscaler.idleTimeoutS }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  resources:
    {{- toYaml .Values.autoscaler.resources | nindent 4 }}
  securityContext:
    {{- include "tailorbird.containerSecurityContext" . | nindent 4 }}
  # The container starts from the image's read-only root as well.
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
    - {name: home, mountPath: /home/tailorbird}
{{- end }}
{{- if .Values.gcsFaultTolerance.enabled }}
# No externalStorageNamespace: KubeRay then takes one per cluster, and two clusters of an upgrade stay apart.
gcsFaultToleranceOptions:
  redisAddress: {{ .Values.gcsFaultTolerance.redisAddress }}
  {{- with .Values.gcsFaultTolerance.redisUsername }}
  redisUsername:
    value: {{ . }}
  {{- end }}
  {{- if .Values.gcsFaultTolerance.existingSecret }}
  redisPassword:
    valueFrom:
      secretKeyRef:
        name: {{ .Values.gcsFaultTolerance.existingSecret }}
        key: {{ .Values.gcsFaultTolerance.existingSecretKey }}
  {{- end }}
{{- end }}
headGroupSpec:
  rayStartParams:
    {{- include "tailorbird.rayStartParams" (list . .Values.head.rayCpus) | nindent 4 }}
  template:
    {{- include "tailorbird.rayPodTemplate" (dict "root" . "component" "head" "group" .Values.head
        "image" (include "tailorbird.image" .) "resources" .Values.head.resources
        "ports" true "database" true "automount" .Values.autoscaler.enabled) | nindent 4 }}
workerGroupSpecs:
  {{- with .Values.cpuWorkers }}
  - groupName: cpu
    replicas: {{ .minReplicas }}
    minReplicas: {{ .minReplicas }}
    maxReplicas: {{ .maxReplicas }}
    rayStartParams:
      {{- include "tailorbird.rayStartParams" (list $ .rayCpus) | nindent 6 }}
    template:
      {{- include "tailorbird.rayPodTemplate" (dict "root" $ "component" "cpu-worker" "group" .
          "image" (include "tailorbird.image" $) "resources" .resources "spread" .topologySpread) | nindent 6 }}
  {{- end }}
  {{- if .Values.gpuWorkers.enabled }}
  {{- with .Values.gpuWorkers }}
  {{- $gpus := dict "limits" (dict .gpuResource .gpusPerPod) "requests" (dict .gpuResource .gpusPerPod) }}
  - groupName: gpu
    replicas: {{ .minReplicas }}
    minReplicas: {{ .minReplicas }}
    maxReplicas: {{ .maxReplicas }}
    {{- if $.Values.autoscaler.enabled }}
    idleTimeoutSeconds: {{ .idleTimeoutS }}
    {{- end }}
    rayStartParams:
      {{- include "tailorbird.rayStartParams" (list $ .rayCpus) | nindent 6 }}
    template:
      {{- include "tailorbird.rayPodTemplate" (dict "root" $ "component" "gpu-worker" "group" .
          "image" (include "tailorbird.gpuImage" $) "resources" (mergeOverwrite (deepCopy .resources) $gpus)
          "spread" .topologySpread) | nindent 6 }}
  {{- end }}
  {{- end }}
{{- end -}}
