{{/* What all pods of the release have in common. */}}

{{/* Pod Security Standard "restricted", pod part. */}}
{{- define "tailorbird.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ .Values.podSecurity.runAsUser }}
runAsGroup: {{ .Values.podSecurity.runAsUser }}
fsGroup: {{ .Values.podSecurity.runAsUser }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: {{ .Values.podSecurity.seccompProfile }}
{{- end -}}

{{/* Pod Security Standard "restricted", container part. */}}
{{- define "tailorbird.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: {{ .Values.podSecurity.readOnlyRootFilesystem }}
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "tailorbird.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Where the settings come from: the file, and secrets as environment. Any other TAILORBIRD_ name would be refused. */}}
{{- define "tailorbird.settingsEnv" -}}
- name: TAILORBIRD_CONFIG
  value: /etc/tailorbird/tailorbird.yaml
- name: TAILORBIRD_DATABASE_URL
  valueFrom:
    {{- if .Values.postgresql.enabled }}
    secretKeyRef:
      name: {{ include "tailorbird.postgresqlSecret" . }}
      key: database-url
    {{- else }}
    {{- include "tailorbird.secretKeyRef" (list . .Values.database "database-url") | nindent 4 }}
    {{- end }}
- name: TAILORBIRD_API_KEY
  valueFrom:
    {{- include "tailorbird.secretKeyRef" (list . .Values.apiKey "api-key") | nindent 4 }}
{{- if .Values.pseudonymise.existingSecret }}
- name: TAILORBIRD_PSEUDONYMISE_KEY
  valueFrom:
    {{- include "tailorbird.secretKeyRef" (list . .Values.pseudonymise "pseudonymise-key") | nindent 4 }}
{{- with .Values.pseudonymise.oldKeysSecretKey }}
- name: TAILORBIRD_PSEUDONYMISE_OLD_KEYS
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.pseudonymise.existingSecret }}
      key: {{ . }}
{{- end }}
{{- end }}
{{- if .Values.secretKey.existingSecret }}
- name: TAILORBIRD_SECRET_KEY
  valueFrom:
    {{- include "tailorbird.secretKeyRef" (list . .Values.secretKey "secret-key") | nindent 4 }}
{{- end }}
{{- if .Values.encryption.existingSecret }}
- name: TAILORBIRD_ENCRYPTION_KEYS
  valueFrom:
    {{- include "tailorbird.secretKeyRef" (list . .Values.encryption "encryption-keys") | nindent 4 }}
{{- end }}
{{- if .Values.rateLimits.existingSecret }}
- name: TAILORBIRD_LIMITS__STORAGE_URL
  valueFrom:
    {{- include "tailorbird.secretKeyRef" (list . .Values.rateLimits "limits-storage-url") | nindent 4 }}
{{- end }}
{{- if .Values.artifacts.existingSecret }}
- name: TAILORBIRD_ARTIFACTS_URL
  valueFrom:
    {{- include "tailorbird.secretKeyRef" (list . .Values.artifacts "artifacts-url") | nindent 4 }}
{{- end }}
{{- end -}}

{{/* Ray's switches must be the same on every node, before Ray starts. Tokens (RAY_AUTH_*) are added by KubeRay. */}}
{{- define "tailorbird.rayEnv" -}}
- name: RAY_SERVE_ENABLE_HA_PROXY
  value: {{ ternary "1" "0" .Values.serve.haProxy | quote }}
- name: RAY_SERVE_THROUGHPUT_OPTIMIZED
  value: {{ ternary "1" "0" .Values.serve.throughputOptimized | quote }}
- name: RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S
  value: {{ .Values.serve.drainS | quote }}
- name: RAY_USAGE_STATS_ENABLED
  value: "0"
- name: RAY_health_check_period_ms
  value: "1000"
- name: RAY_health_check_failure_threshold
  value: "3"
- name: RAY_worker_niceness
  value: "0"
- name: RAY_task_events_max_num_task_in_gcs
  value: "10000"
- name: RAY_ROTATION_MAX_BYTES
  value: "67108864"
- name: RAY_ROTATION_BACKUP_COUNT
  value: "3"
- name: RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH
  value: deployments.edge:middlewares
- name: RAY_SERVE_HAPROXY_TIMEOUT_CONNECT_S
  value: "1"
- name: RAY_SERVE_HAPROXY_METRICS_ENABLED
  value: "0"
- name: RAY_SERVE_HAPROXY_BINARY_PATH
  value: /app/cluster/haproxy.sh
- name: DGLBACKEND
  value: pytorch
- name: TOKENIZERS_PARALLELISM
  value: "false"
- name: HOME
  value: /home/tailorbird
- name: HF_HOME
  value: /var/lib/tailorbird/models/huggingface
{{- if .Values.models.huggingFaceTokenSecret }}
- name: HF_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ .Values.models.huggingFaceTokenSecret }}
      key: {{ .Values.models.huggingFaceTokenSecretKey }}
{{- end }}
{{ include "tailorbird.settingsEnv" . }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tailorbird.envFrom" -}}
{{- if or .Values.artifacts.credentialsSecret .Values.extraEnvFrom }}
envFrom:
  {{- with .Values.artifacts.credentialsSecret }}
  - secretRef:
      name: {{ . }}
  {{- end }}
  {{- with .Values.extraEnvFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* subPath: a pod keeps the settings that it started with, whatever an upgrade writes into the ConfigMap. */}}
{{- define "tailorbird.volumeMounts" -}}
- {name: settings, mountPath: /etc/tailorbird/tailorbird.yaml, subPath: tailorbird.yaml, readOnly: true}
- {name: tmp, mountPath: /tmp}
- {name: home, mountPath: /home/tailorbird}
- {name: state, mountPath: /var/lib/tailorbird}
{{- if .Values.artifacts.persistence.enabled }}
- {name: artifacts, mountPath: /var/lib/tailorbird-artifacts}
{{- end }}
{{- if .Values.models.persistence.enabled }}
- {name: models, mountPath: /var/lib/tailorbird/models}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tailorbird.volumes" -}}
- name: settings
  configMap:
    name: {{ include "tailorbird.fullname" . }}-settings
- name: tmp
  emptyDir: {}
- name: home
  emptyDir: {}
- name: state
  emptyDir: {}
{{- if .Values.artifacts.persistence.enabled }}
- name: artifacts
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-artifacts" (include "tailorbird.fullname" .)) .Values.artifacts.persistence.existingClaim }}
{{- end }}
{{- if .Values.models.persistence.enabled }}
- name: models
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-models" (include "tailorbird.fullname" .)) .Values.models.persistence.existingClaim }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tailorbird.topologySpread" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}
{{- range index . 2 }}
- topologyKey: {{ .topologyKey }}
  maxSkew: {{ .maxSkew }}
  whenUnsatisfiable: {{ .whenUnsatisfiable }}
  labelSelector:
    matchLabels:
      {{- include "tailorbird.selector" $root | nindent 6 }}
      app.kubernetes.io/component: {{ $component }}
  # During an upgrade each of the two clusters is spread by itself.
  matchLabelKeys: [ray.io/cluster]
{{- end }}
{{- end -}}

{{- define "tailorbird.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}
