{{/* The RayJob that learns anew, in a cluster of its own. */}}
{{- define "tailorbird.refreshJob" -}}
entrypoint: {{ printf "python -m jobs.refresh --config /etc/tailorbird/tailorbird.yaml %s" (join " " .Values.refresh.args) | trim | quote }}
submissionMode: K8sJobMode
shutdownAfterJobFinishes: true
ttlSecondsAfterFinished: {{ .Values.refresh.keepS }}
activeDeadlineSeconds: {{ .Values.refresh.deadlineS }}
# The job resumes by itself or starts over; the next run of the schedule is the retry.
backoffLimit: 0
submitterPodTemplate:
  metadata:
    labels:
      {{- include "tailorbird.podLabels" (list . "refresh-submitter") | nindent 6 }}
  spec:
    restartPolicy: Never
    automountServiceAccountToken: false
    enableServiceLinks: false
    {{- include "tailorbird.pullSecrets" . | nindent 4 }}
    securityContext:
      {{- include "tailorbird.podSecurityContext" . | nindent 6 }}
    containers:
      - name: ray-job-submitter
        image: {{ include "tailorbird.image" . }}
        imagePullPolicy: {{ .Values.image.pullPolicy }}
        env:
          - {name: HOME, value: /tmp}
        resources:
          {{- toYaml .Values.refresh.launcherResources | nindent 10 }}
        securityContext:
          {{- include "tailorbird.containerSecurityContext" . | nindent 10 }}
        volumeMounts:
          - {name: tmp, mountPath: /tmp}
    volumes:
      - name: tmp
        emptyDir: {}
rayClusterSpec:
  rayVersion: {{ .Values.rayVersion | quote }}
  authOptions:
    {{- include "tailorbird.authOptions" . | nindent 4 }}
  headGroupSpec:
    rayStartParams:
      {{- include "tailorbird.rayStartParams" (list . .Values.refresh.rayCpus) | nindent 6 }}
    template:
      {{- include "tailorbird.rayPodTemplate" (dict "root" . "component" "refresh" "group" .Values.refresh
          "image" (include "tailorbird.image" .) "resources" .Values.refresh.resources "ports" true) | nindent 6 }}
  {{- if gt (int .Values.refresh.workers) 0 }}
  workerGroupSpecs:
    - groupName: cpu
      replicas: {{ .Values.refresh.workers }}
      minReplicas: {{ .Values.refresh.workers }}
      maxReplicas: {{ .Values.refresh.workers }}
      rayStartParams:
        {{- include "tailorbird.rayStartParams" (list . .Values.refresh.rayCpus) | nindent 8 }}
      template:
        {{- include "tailorbird.rayPodTemplate" (dict "root" . "component" "refresh" "group" .Values.refresh
            "image" (include "tailorbird.image" .) "resources" .Values.refresh.resources) | nindent 8 }}
  {{- end }}
{{- end -}}
