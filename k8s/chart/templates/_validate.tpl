{{/* What the schema cannot say: values that contradict each other, with words for whoever reads the message. */}}
{{- define "tailorbird.validate" -}}
{{- $v := .Values -}}
{{- $databases := list $v.database.url $v.database.existingSecret (ternary "own" "" $v.postgresql.enabled) | compact | len -}}
{{- if ne $databases 1 -}}
{{- fail "set exactly one of database.url, database.existingSecret and postgresql.enabled" -}}
{{- end -}}
{{- if and $v.postgresql.enabled (eq (list $v.postgresql.password $v.postgresql.existingSecret | compact | len) 0) -}}
{{- fail "postgresql.enabled needs postgresql.password or postgresql.existingSecret" -}}
{{- end -}}
{{- if ne (list $v.apiKey.value $v.apiKey.existingSecret | compact | len) 1 -}}
{{- fail "set exactly one of apiKey.value and apiKey.existingSecret" -}}
{{- end -}}
{{- $artifacts := list $v.artifacts.url $v.artifacts.existingSecret (ternary "volume" "" $v.artifacts.persistence.enabled) | compact | len -}}
{{- if ne $artifacts 1 -}}
{{- fail "set exactly one of artifacts.url, artifacts.existingSecret and artifacts.persistence.enabled" -}}
{{- end -}}
{{- if and $v.gcsFaultTolerance.enabled (not $v.gcsFaultTolerance.redisAddress) -}}
{{- fail "gcsFaultTolerance.enabled needs gcsFaultTolerance.redisAddress" -}}
{{- end -}}
{{- if and (eq $v.upgrade.type "NewClusterWithIncrementalUpgrade") (not $v.upgrade.incremental.gatewayClassName) -}}
{{- fail "upgrade.type NewClusterWithIncrementalUpgrade needs upgrade.incremental.gatewayClassName" -}}
{{- end -}}
{{- if and (eq $v.upgrade.type "NewClusterWithIncrementalUpgrade") (or $v.ingress.enabled $v.httpRoute.enabled) -}}
{{- fail "with upgrade.type NewClusterWithIncrementalUpgrade KubeRay makes the Gateway's route: turn ingress and httpRoute off" -}}
{{- end -}}
{{- if and (eq $v.head.rayCpus "0") (eq (int $v.cpuWorkers.maxReplicas) 0) -}}
{{- fail "nothing can serve: head.rayCpus is 0 and cpuWorkers.maxReplicas is 0" -}}
{{- end -}}
{{- range list (list "cpuWorkers" $v.cpuWorkers) (list "gpuWorkers" $v.gpuWorkers) (list "serve.ingress" $v.serve.ingress) (list "serve.writer" $v.serve.writer) (list "serve.recommender" $v.serve.recommender) -}}
{{- $group := index . 1 -}}
{{- if gt (int $group.minReplicas) (int $group.maxReplicas) -}}
{{- fail (printf "%s.minReplicas is %d and %s.maxReplicas is %d" (index . 0) (int $group.minReplicas) (index . 0) (int $group.maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- if and $v.gpuWorkers.enabled (not $v.autoscaler.enabled) (eq (int $v.gpuWorkers.minReplicas) 0) -}}
{{- fail "gpuWorkers.minReplicas is 0 and autoscaler.enabled is false: no GPU would ever come" -}}
{{- end -}}
{{- if le (int $v.terminationGracePeriodS) (int $v.serve.drainS) -}}
{{- fail (printf "terminationGracePeriodS is %d: it must be longer than serve.drainS, %d" (int $v.terminationGracePeriodS) (int $v.serve.drainS)) -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.host) -}}
{{- fail "ingress.enabled needs ingress.host" -}}
{{- end -}}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) -}}
{{- fail "httpRoute.enabled needs httpRoute.parentRefs" -}}
{{- end -}}
{{- if and (not $v.serviceAccount.create) (not $v.serviceAccount.name) -}}
{{- fail "serviceAccount.create is false: set serviceAccount.name" -}}
{{- end -}}
{{- end -}}
