{{/* The settings in force: the service's defaults (files/defaults.yaml, generated) under those of the values. */}}
{{- define "inferstream.effective" -}}
{{- $defaults := .Files.Get "files/defaults.yaml" | fromYaml -}}
{{- $pipelines := dict -}}
{{- range $name, $given := (.Values.config.pipelines | default (dict "fraud" dict)) -}}
{{- $_ := set $pipelines $name (mergeOverwrite (deepCopy $defaults.pipeline) (deepCopy ($given | default dict))) -}}
{{- end -}}
{{- $effective := mergeOverwrite (deepCopy $defaults.settings) (omit (deepCopy .Values.config) "pipelines") -}}
{{- set $effective "pipelines" $pipelines | toYaml -}}
{{- end -}}

{{/* The settings file: what the values say and what the chart knows. */}}
{{- define "inferstream.settings" -}}
{{- $config := deepCopy .Values.config -}}
{{- $kafka := $config.kafka | default dict -}}
{{- $triton := $config.triton | default dict -}}
{{- $tls := .Values.kafka.tls -}}
{{- if and $tls.existingSecret $tls.caKey }}{{ $_ := set $kafka "ssl_ca_file" (printf "/etc/kafka-tls/%s" $tls.caKey) }}{{ end -}}
{{- if $tls.certManager.enabled -}}
{{- $_ := set $kafka "ssl_certificate_file" "/etc/kafka-certificate/tls.crt" -}}
{{- $_ := set $kafka "ssl_key_file" "/etc/kafka-certificate/tls.key" -}}
{{- if not $tls.existingSecret }}{{ $_ := set $kafka "ssl_ca_file" "/etc/kafka-certificate/ca.crt" }}{{ end -}}
{{- else if $tls.certKey -}}
{{- $_ := set $kafka "ssl_certificate_file" (printf "/etc/kafka-tls/%s" $tls.certKey) -}}
{{- $_ := set $kafka "ssl_key_file" (printf "/etc/kafka-tls/%s" $tls.keyKey) -}}
{{- end -}}
{{- if $tls.keyPasswordKey }}{{ $_ := set $kafka "ssl_key_password_file" (printf "/etc/kafka-tls/%s" $tls.keyPasswordKey) }}{{ end -}}
{{- with .Values.kafka.sasl -}}
{{- if .existingSecret -}}
{{- if not $kafka.sasl_username }}{{ $_ := set $kafka "sasl_username_file" (printf "/etc/kafka-login/%s" .usernameKey) }}{{ end -}}
{{- $_ := set $kafka "sasl_password_file" (printf "/etc/kafka-login/%s" .passwordKey) -}}
{{- end -}}
{{- end -}}
{{- with .Values.kafka.oauth -}}
{{- if .existingSecret }}{{ $_ := set $kafka "oauth_client_secret_file" (printf "/etc/kafka-oauth/%s" .clientSecretKey) }}{{ end -}}
{{- if .tokenAudience }}{{ $_ := set $kafka "oauth_token_file" "/etc/kafka-oauth/token" }}{{ end -}}
{{- end -}}
{{- with .Values.triton.tls -}}
{{- if .existingSecret -}}
{{- $_ := set $triton "tls" true -}}
{{- if .caKey }}{{ $_ := set $triton "ca_file" (printf "/etc/triton-tls/%s" .caKey) }}{{ end -}}
{{- if .certKey -}}
{{- $_ := set $triton "certificate_file" (printf "/etc/triton-tls/%s" .certKey) -}}
{{- $_ := set $triton "key_file" (printf "/etc/triton-tls/%s" .keyKey) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.triton.control -}}
{{- if .existingSecret }}{{ $_ := set $triton "access_key_file" (printf "/etc/triton-control/%s" .key) }}{{ end -}}
{{- end -}}
{{- if ne .Values.triton.mode "external" }}{{ $_ := set $triton "url" (include "inferstream.tritonUrl" .) }}{{ end -}}
{{- if and (eq .Values.triton.mode "service") (not (hasKey $triton "shared_memory")) -}}
{{- $_ := set $triton "shared_memory" "off" -}}
{{- end -}}
{{- if $kafka }}{{ $_ := set $config "kafka" $kafka }}{{ end -}}
{{- if $triton }}{{ $_ := set $config "triton" $triton }}{{ end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* One endpoint per Triton, each by a name of its own: the service balances between them itself. */}}
{{- define "inferstream.tritonUrl" -}}
{{- if eq .Values.triton.mode "sidecar" -}}
127.0.0.1:8001
{{- else -}}
{{- $name := printf "%s-triton" (include "inferstream.fullname" .) -}}
{{- range $number := until (int .Values.triton.replicas) -}}
{{- if $number }},{{ end }}{{ $name }}-{{ $number }}.{{ $name }}.{{ $.Release.Namespace }}.svc:8001
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Where the settings are, and what the values add. */}}
{{- define "inferstream.env" -}}
- {name: INFERSTREAM_SETTINGS, value: /etc/inferstream/settings.yaml}
{{- with .Values.extraEnv }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end -}}
