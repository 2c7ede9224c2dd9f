{{/* The alerts. %FROM% becomes the labels of this release's pods. What to do about each: docs/operations.md. */}}
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
    (sum(rate(ray_tailorbird_http_requests_total{%FROM%,code="429"}[5m]))
    - (sum(rate(ray_tailorbird_rate_refusals_total{%FROM%}[5m])) or vector(0)))
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
- alert: TailorbirdDegraded
  expr: >-
    sum(rate(ray_tailorbird_lists_degraded_total{%FROM%}[5m]))
    / sum(rate(ray_tailorbird_http_requests_total{%FROM%,route="/v1/recommendations"}[5m])) > {{ $v.maxDegradedRatio }}
  for: 5m
  severity: warning
  summary: More than {{ mulf $v.maxDegradedRatio 100 }} % of the lists are made without the session.
- alert: TailorbirdBehind
  expr: >-
    max(ray_tailorbird_session_tail_age_seconds{%FROM%}) > {{ $v.maxBehindS }}
    or max(ray_tailorbird_catalogue_age_seconds{%FROM%}) > {{ $v.maxBehindS }}
    or max(ray_tailorbird_keys_age_seconds{%FROM%}) > {{ $v.maxBehindS }}
  for: 2m
  severity: critical
  summary: A process does not follow the store; events, items or revoked keys count late.
- alert: TailorbirdTemplates
  expr: >-
    sum(rate(ray_tailorbird_texts_total{%FROM%,source="template"}[15m]))
    / sum(rate(ray_tailorbird_texts_total{%FROM%}[15m])) > {{ $v.maxTemplateRatio }}
  for: 15m
  severity: warning
  summary: More than {{ mulf $v.maxTemplateRatio 100 }} % of the texts are templates.
- alert: TailorbirdListsNotLogged
  expr: sum(increase(ray_tailorbird_recommendation_log_lost_total{%FROM%}[15m])) > 0
  for: 5m
  severity: warning
  summary: Lists are not logged; the writer of the store cannot keep up or is away.
- alert: TailorbirdRatesUnshared
  expr: sum(increase(ray_tailorbird_rates_unshared_total{%FROM%}[15m])) > 0
  for: 5m
  severity: warning
  summary: Redis does not count rates; each replica counts for itself, so clients may ask more than their rate.
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
