{{/* Ray Serve's configuration and Tailorbird's settings file. */}}

{{- define "tailorbird.autoscaling" -}}
min_replicas: {{ .minReplicas }}
max_replicas: {{ .maxReplicas }}
target_ongoing_requests: {{ .targetOngoingRequests }}
upscale_delay_s: {{ .upscaleDelayS }}
downscale_delay_s: {{ .downscaleDelayS }}
{{- end -}}

{{/* Replica counts stand here and not in the settings file: KubeRay applies a change here in place. */}}
{{- define "tailorbird.serveConfig" -}}
proxy_location: EveryNode
http_options:
  host: 0.0.0.0
  port: 8000
  keep_alive_timeout_s: {{ .Values.serve.keepAliveS }}
logging_config:
  encoding: JSON
  enable_access_log: {{ .Values.serve.accessLog }}
applications:
  - name: tailorbird
    route_prefix: /
    import_path: deployments.app:build
    args:
      config: /etc/tailorbird/tailorbird.yaml
    deployments:
      - name: Ingress
        autoscaling_config:
          {{- include "tailorbird.autoscaling" .Values.serve.ingress | nindent 10 }}
      - name: Writer
        autoscaling_config:
          {{- include "tailorbird.autoscaling" .Values.serve.writer | nindent 10 }}
      {{- if eq (dig "recommender" "binding" "ingress" .Values.settings) "deployment" }}
      - name: Recommender
        autoscaling_config:
          {{- include "tailorbird.autoscaling" .Values.serve.recommender | nindent 10 }}
      {{- end }}
{{- end -}}

{{/* tailorbird.yaml: the user's settings, and on top what the chart decides. No secrets: those are environment. */}}
{{- define "tailorbird.settings" -}}
{{- $own := dict "host" "0.0.0.0" "port" 8000 "state_dir" "/var/lib/tailorbird" -}}
{{- if .Values.artifacts.persistence.enabled -}}
{{- $_ := set $own "artifacts_url" "/var/lib/tailorbird-artifacts" -}}
{{- else if .Values.artifacts.url -}}
{{- $_ := set $own "artifacts_url" .Values.artifacts.url -}}
{{- end -}}
{{- if .Values.gpuWorkers.enabled -}}
{{- $_ := set $own "writer" (dict "num_gpus" .Values.gpuWorkers.gpusPerWriter) -}}
{{- end -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.settings) $own) -}}
{{- end -}}
