{{/* What the schema cannot say: all that does not go together, in one message. */}}
{{- define "inferstream.validate" -}}
{{- $said := list -}}
{{- $settings := include "inferstream.effective" . | fromYaml -}}
{{- range (list (include "inferstream.validateKafka" (list . $settings)) (include "inferstream.validateTriton" (list . $settings)) (include "inferstream.validateScale" (list . $settings))) -}}
{{- $said = concat $said (fromYamlArray .) -}}
{{- end -}}
{{- if $said -}}
{{- fail (printf "these values cannot go together:\n- %s" (join "\n- " $said)) -}}
{{- end -}}
{{- end -}}

{{- define "inferstream.validateKafka" -}}
{{- $values := (index . 0).Values -}}
{{- $settings := index . 1 -}}
{{- $said := list -}}
{{- $kafka := $settings.kafka -}}
{{- $tls := $values.kafka.tls -}}
{{- $oauth := $values.kafka.oauth -}}
{{- $isOauth := eq $kafka.sasl_mechanism "OAUTHBEARER" -}}
{{- if $kafka.sasl_password -}}
{{- $said = append $said "config.kafka.sasl_password: put it in a Secret and name that in kafka.sasl.existingSecret" -}}
{{- end -}}
{{- if $kafka.oauth_client_secret -}}
{{- $said = append $said "config.kafka.oauth_client_secret: put it in a Secret and name that in kafka.oauth.existingSecret" -}}
{{- end -}}
{{- if $kafka.ssl_key_password -}}
{{- $said = append $said "config.kafka.ssl_key_password: put it in the Secret of kafka.tls.existingSecret and name its key in kafka.tls.keyPasswordKey" -}}
{{- end -}}
{{- if and $tls.keyPasswordKey (not $tls.keyKey) -}}
{{- $said = append $said "kafka.tls.keyPasswordKey needs kafka.tls.keyKey" -}}
{{- end -}}
{{- if and $isOauth $values.kafka.sasl.existingSecret -}}
{{- $said = append $said "kafka.sasl.existingSecret has no use with sasl_mechanism OAUTHBEARER: set kafka.oauth" -}}
{{- end -}}
{{- if and (or $oauth.existingSecret $oauth.tokenAudience) (not $isOauth) -}}
{{- $said = append $said "kafka.oauth is for config.kafka.sasl_mechanism OAUTHBEARER" -}}
{{- end -}}
{{- if and $oauth.existingSecret $oauth.tokenAudience -}}
{{- $said = append $said "kafka.oauth.existingSecret and kafka.oauth.tokenAudience: choose one source of the token" -}}
{{- end -}}
{{- if and $isOauth (eq $values.autoscaling.mode "keda") -}}
{{- $said = append $said "autoscaling.mode keda with sasl_mechanism OAUTHBEARER: KEDA reads the lag with a login of ours, and this chart can give it none" -}}
{{- end -}}
{{- if $kafka.group_instance_id -}}
{{- $said = append $said "config.kafka.group_instance_id: every pod needs its own; set workload.kind to StatefulSet instead" -}}
{{- end -}}
{{- if and (hasPrefix "SASL_" $kafka.security_protocol) (not $isOauth) (not $values.kafka.sasl.existingSecret) -}}
{{- $said = append $said (printf "config.kafka.security_protocol %s needs user and password: name their Secret in kafka.sasl.existingSecret" $kafka.security_protocol) -}}
{{- end -}}
{{- if and $values.kafka.sasl.existingSecret (not (hasPrefix "SASL_" $kafka.security_protocol)) -}}
{{- $said = append $said (printf "kafka.sasl.existingSecret has no use with config.kafka.security_protocol %s: set SASL_SSL or SASL_PLAINTEXT" $kafka.security_protocol) -}}
{{- end -}}
{{- if and (or $tls.existingSecret $tls.certManager.enabled) (not (hasSuffix "SSL" $kafka.security_protocol)) -}}
{{- $said = append $said (printf "kafka.tls has no use with config.kafka.security_protocol %s: set SSL or SASL_SSL" $kafka.security_protocol) -}}
{{- end -}}
{{- if or $kafka.ssl_ca_file $kafka.ssl_certificate_file $kafka.ssl_key_file -}}
{{- if or $tls.existingSecret $tls.certManager.enabled -}}
{{- $said = append $said "config.kafka.ssl_…_file: the chart sets these from kafka.tls; leave them out" -}}
{{- end -}}
{{- end -}}
{{- if ne (empty $tls.certKey) (empty $tls.keyKey) -}}
{{- $said = append $said "kafka.tls.certKey and kafka.tls.keyKey: mutual TLS needs both" -}}
{{- end -}}
{{- if and $tls.certKey (not $tls.existingSecret) -}}
{{- $said = append $said "kafka.tls.certKey needs the Secret it is in: set kafka.tls.existingSecret" -}}
{{- end -}}
{{- if $tls.certManager.enabled -}}
{{- if not $tls.certManager.issuerRef.name -}}
{{- $said = append $said "kafka.tls.certManager.enabled needs kafka.tls.certManager.issuerRef.name" -}}
{{- end -}}
{{- if $tls.certKey -}}
{{- $said = append $said "kafka.tls.certKey and kafka.tls.certManager.enabled: choose one source of our certificate" -}}
{{- end -}}
{{- end -}}
{{- if and $values.kafka.topicsJob.enabled (not $values.kafka.partitions) -}}
{{- $said = append $said "kafka.topicsJob.enabled needs kafka.partitions" -}}
{{- end -}}
{{- toYaml $said -}}
{{- end -}}

{{- define "inferstream.validateTriton" -}}
{{- $root := index . 0 -}}
{{- $settings := index . 1 -}}
{{- $said := list -}}
{{- $triton := $root.Values.triton -}}
{{- $models := $triton.models -}}
{{- $given := $root.Values.config.triton | default dict -}}
{{- $isExternal := eq $triton.mode "external" -}}
{{- range (list "access_key" "model_control_key") -}}
{{- if get $given . -}}
{{- $said = append $said (printf "config.triton.%s: put it in a Secret and name that in triton.control.existingSecret" .) -}}
{{- end -}}
{{- end -}}
{{- if and $isExternal (not $given.url) -}}
{{- $said = append $said "triton.mode external needs config.triton.url" -}}
{{- end -}}
{{- if and (not $isExternal) $given.url -}}
{{- $said = append $said (printf "config.triton.url: with triton.mode %s the chart sets it; leave it out, or set triton.mode to external" $triton.mode) -}}
{{- end -}}
{{- if and (not $isExternal) (or $triton.tls.existingSecret $given.tls) -}}
{{- $said = append $said (printf "triton.tls and config.triton.tls are for triton.mode external; with %s the NetworkPolicy guards it" $triton.mode) -}}
{{- end -}}
{{- if and $triton.tls.certKey (not $triton.tls.existingSecret) -}}
{{- $said = append $said "triton.tls.certKey needs the Secret it is in: set triton.tls.existingSecret" -}}
{{- end -}}
{{- if ne (empty $triton.tls.certKey) (empty $triton.tls.keyKey) -}}
{{- $said = append $said "triton.tls.certKey and triton.tls.keyKey: mutual TLS needs both" -}}
{{- end -}}
{{- if and $isExternal (gt (int $triton.gpu.count) 0) -}}
{{- $said = append $said "triton.gpu.count: there is no Triton of the chart's with triton.mode external" -}}
{{- end -}}
{{- if and (ne $triton.mode "service") (or $triton.nodeSelector $triton.tolerations $triton.affinity) -}}
{{- $said = append $said "triton.nodeSelector, tolerations and affinity are for triton.mode service: a sidecar goes where its pod goes" -}}
{{- end -}}
{{- if and (eq $settings.triton.model_control "explicit") (not $isExternal) -}}
{{- if eq $triton.mode "sidecar" -}}
{{- $said = append $said "config.triton.model_control explicit: a command reaches the Triton of one pod only; set triton.mode to service or external" -}}
{{- else if not $triton.control.existingSecret -}}
{{- $said = append $said "config.triton.model_control explicit lets anyone load models: set triton.control.existingSecret" -}}
{{- end -}}
{{- end -}}
{{- with $triton.switchJob -}}
{{- if and .pipeline (not .version) -}}
{{- $said = append $said "triton.switchJob.pipeline: to which version? Set triton.switchJob.version" -}}
{{- end -}}
{{- if .version -}}
{{- if eq $triton.mode "sidecar" -}}
{{- $said = append $said "triton.switchJob: with triton.mode sidecar each pod has a Triton of its own; set triton.mode to service or external" -}}
{{- end -}}
{{- if and (not .pipeline) (gt (len $settings.pipelines) 1) -}}
{{- $said = append $said (printf "triton.switchJob.pipeline: of which? There are: %s" (keys $settings.pipelines | sortAlpha | join ", ")) -}}
{{- end -}}
{{- if and .pipeline (not (hasKey $settings.pipelines .pipeline)) -}}
{{- $said = append $said (printf "triton.switchJob.pipeline: config has no pipeline '%s'" .pipeline) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $isExternal -}}
{{- if and (eq $models.source "pvc") (not $models.claimName) -}}
{{- $said = append $said "triton.models.source pvc needs triton.models.claimName" -}}
{{- end -}}
{{- if and (has $models.source (list "image" "initContainer")) (not $models.image) -}}
{{- $said = append $said (printf "triton.models.source %s needs triton.models.image" $models.source) -}}
{{- end -}}
{{- if and (eq $models.source "initContainer") (not $models.command) -}}
{{- $said = append $said "triton.models.source initContainer needs triton.models.command, which copies the models to /models" -}}
{{- end -}}
{{- if and (eq $models.source "image") (semverCompare "<1.35.0-0" $root.Capabilities.KubeVersion.Version) -}}
{{- $said = append $said (printf "triton.models.source image needs Kubernetes 1.35, this is %s: use initContainer" $root.Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- end -}}
{{- toYaml $said -}}
{{- end -}}

{{- define "inferstream.validateScale" -}}
{{- $values := (index . 0).Values -}}
{{- $settings := index . 1 -}}
{{- $said := list -}}
{{- $partitions := int $values.kafka.partitions -}}
{{- $scaling := $values.autoscaling -}}
{{- if eq $scaling.mode "keda" -}}
{{- if eq $values.workload.kind "StatefulSet" -}}
{{- $said = append $said "autoscaling.mode keda with workload.kind StatefulSet: a member that leaves keeps its partitions until its session ends; use Deployment" -}}
{{- end -}}
{{- if not $partitions -}}
{{- $said = append $said "autoscaling.mode keda needs kafka.partitions: more pods than that have nothing to do" -}}
{{- else if gt (mul (int $scaling.maxReplicas) (int $settings.workers)) $partitions -}}
{{- $said = append $said (printf "autoscaling.maxReplicas %d times config.workers %d is more than kafka.partitions %d: some would have nothing to do" (int $scaling.maxReplicas) (int $settings.workers) $partitions) -}}
{{- end -}}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
{{- $said = append $said (printf "autoscaling.minReplicas %d is more than maxReplicas %d" (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- end -}}
{{- if not $scaling.slo.prometheusAddress -}}
{{- $said = append $said "autoscaling.mode keda needs autoscaling.slo.prometheusAddress" -}}
{{- end -}}
{{- else if and $partitions (gt (mul (int $values.replicaCount) (int $settings.workers)) $partitions) -}}
{{- $said = append $said (printf "replicaCount %d times config.workers %d is more than kafka.partitions %d: some would have nothing to do" (int $values.replicaCount) (int $settings.workers) $partitions) -}}
{{- end -}}
{{- if not $settings.web.port -}}
{{- $said = append $said "config.web.port 0: probes and metrics need a port that is known" -}}
{{- end -}}
{{- toYaml $said -}}
{{- end -}}
