{{/* Names and labels. */}}

{{/* Prefix of all names. Short, and a DNS-1035 label, because KubeRay and Kubernetes append up to 35 characters. */}}
{{- define "tailorbird.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 28 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 28 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 28 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels by which the release's pods are found. KubeRay keeps app.kubernetes.io/name for itself. */}}
{{- define "tailorbird.selector" -}}
app.kubernetes.io/part-of: tailorbird
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of a pod: nothing that a mere change of version alters, or KubeRay would start a new cluster for it. */}}
{{- define "tailorbird.podLabels" -}}
{{- $root := index . 0 -}}
{{ include "tailorbird.selector" $root }}
app.kubernetes.io/component: {{ index . 1 }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of an object. Call with (list $ "component"). */}}
{{- define "tailorbird.labels" -}}
{{- $root := index . 0 -}}
{{ include "tailorbird.podLabels" . }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "tailorbird.serviceAccountName" -}}
{{- default (include "tailorbird.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "tailorbird.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{- define "tailorbird.gpuImage" -}}
{{- $tag := printf "%s-cuda" (default .Chart.AppVersion .Values.image.tag) -}}
{{- printf "%s:%s" (default .Values.image.repository .Values.gpuWorkers.image.repository) (default $tag .Values.gpuWorkers.image.tag) -}}
{{- end -}}

{{/* A reference to a key of a Secret: of one that exists, or of the release's own. Call with (list $ section key). */}}
{{- define "tailorbird.secretKeyRef" -}}
{{- $root := index . 0 -}}{{- $section := index . 1 -}}
secretKeyRef:
  name: {{ default (include "tailorbird.fullname" $root) $section.existingSecret }}
  key: {{ ternary $section.existingSecretKey (index . 2) (ne $section.existingSecret "") }}
{{- end -}}

{{- define "tailorbird.postgresqlSecret" -}}
{{- default (printf "%s-postgresql" (include "tailorbird.fullname" .)) .Values.postgresql.existingSecret -}}
{{- end -}}

{{/* Whether the release has values of its own to keep in a Secret. */}}
{{- define "tailorbird.hasSecret" -}}
{{- if or .Values.database.url .Values.apiKey.value -}}true{{- end -}}
{{- end -}}
