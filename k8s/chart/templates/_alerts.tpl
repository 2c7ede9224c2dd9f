{{/* The alerts. %FROM% becomes the labels of this release's pods. What to do about each: docs/kubernetes.md. */}}
{{- define "tailorbird.alerts" -}}
{{- $v := .Values.prometheusRule -}}
{{- $name := include "tailorbird.fullname" . -}}
- alert: TailorbirdDown
  expr: absent(up{%FROM%} == 1)
  for: 2m
  severity: critical
  summary: No pod of Tailorbird can be scraped.
- alert: TailorbirdErrors
  expr: >-
    sum(rate(ray_tailorbird_http_requests_total{%FROM%,code=~"5.."}[5m]))
    / sum(rate(ray_tailorbird_http_requests_total{%FROM%}[5m])) > {{ $v.maxErrorRatio }}
  for: 5m
  severity: critical
  summary: More than {{ mulf $v.maxErrorRatio 100 }} % of the requests fail.
- alert: TailorbirdOverload
  expr: >-
    sum(rate(ray_tailorbird_http_requests_total{%FROM%,code="429"}[5m]))
    / sum(rate(ray_tailorbird_http_requests_total{%FROM%}[5m])) > {{ $v.maxOverloadRatio }}
  for: 10m
  severity: warning
  summary: More than {{ mulf $v.maxOverloadRatio 100 }} % of the requests are refused because queues are full.
- alert: TailorbirdSlowRecommendations
  expr: >-
    histogram_quantile(0.95, sum by (le)
    (rate(ray_tailorbird_http_request_seconds_bucket{%FROM%,route="/v1/recommendations"}[5m]))) > {{ $v.maxRecommendationS }}
  for: 10m
  severity: warning
  summary: One in twenty recommendations takes longer than {{ $v.maxRecommendationS }} s.
- alert: TailorbirdVersionFailures
  expr: sum(increase(ray_tailorbird_version_failures_total{%FROM%}[15m])) > 0
  for: 5m
  severity: warning
  summary: A published version cannot be loaded; the version before it goes on serving.
- alert: TailorbirdMemory
  expr: max(ray_node_mem_used{%FROM%} / ray_node_mem_total{%FROM%}) > 0.92
  for: 10m
  severity: warning
  summary: A node of Ray is nearly out of memory; Ray ends workers at 95 %.
- alert: TailorbirdRefreshFailed
  expr: max(kube_job_status_failed{namespace={{ .Release.Namespace | quote }},job_name=~"{{ $name }}-refresh-.+"}) > 0
  for: 1m
  severity: warning
  summary: A refresh failed; the live version goes on serving and grows old.
{{- end -}}
