{{/*
The pod of every command: the service itself, its check, the making of topics, the switch of a model. Takes a dictionary of
`root`, `command` with its `options`, `name` if that is not the command's, and `triton`, whether a Triton runs beside it. Of the
service alone come probes and the port.
*/}}
{{- define "inferstream.podSpec" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $settings := include "inferstream.effective" $root | fromYaml -}}
{{- $isService := eq .command "run" -}}
serviceAccountName: {{ include "inferstream.serviceAccountName" $root }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ include "inferstream.graceSeconds" $root }}
securityContext: {{ toYaml $values.podSecurityContext | nindent 2 }}
{{- with $values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $values.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- if $isService }}
topologySpreadConstraints:
{{- with $values.topologySpreadConstraints }}
  {{- toYaml . | nindent 2 }}
{{- else }}
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ include "inferstream.componentLabels" (list $root "service") | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}
{{- if .triton }}
initContainers:
  {{- with include "inferstream.modelsContainer" $root }}
  {{- . | nindent 2 }}
  {{- end }}
  - {{- include "inferstream.tritonContainer" $root | nindent 4 }}
    restartPolicy: Always # a native sidecar: up before the service, ended after it
{{- end }}
containers:
  - name: {{ $isService | ternary "service" (.name | default .command) }}
    image: {{ include "inferstream.image" (list $values.image $root.Chart.AppVersion) | quote }}
    imagePullPolicy: {{ $values.image.pullPolicy }}
    args: {{ toJson (concat (list .command) (.options | default list)) }}
    env: {{ include "inferstream.env" $root | nindent 6 }}
      {{- if and $isService (eq $values.workload.kind "StatefulSet") }}
      - name: INFERSTREAM__KAFKA__GROUP_INSTANCE_ID
        valueFrom: {fieldRef: {fieldPath: metadata.name}}
      {{- end }}
    {{- with $values.extraEnvFrom }}
    envFrom: {{ tpl (toYaml .) $root | nindent 6 }}
    {{- end }}
    {{- if $isService }}
    ports:
      - {name: http, containerPort: {{ int $settings.web.port }}, protocol: TCP}
    startupProbe:
      httpGet: {path: /readyz, port: http}
      failureThreshold: {{ include "inferstream.startupFailures" (list $values $settings) }}
      {{- toYaml $values.probes.startup | nindent 6 }}
    readinessProbe:
      httpGet: {path: /readyz, port: http}
      {{- toYaml $values.probes.readiness | nindent 6 }}
    livenessProbe:
      httpGet: {path: /livez, port: http}
      {{- toYaml $values.probes.liveness | nindent 6 }}
    {{- end }}
    resources: {{ toYaml $values.resources | nindent 6 }}
    securityContext: {{ toYaml $values.securityContext | nindent 6 }}
    volumeMounts:
      - {name: settings, mountPath: /etc/inferstream, readOnly: true}
      - {name: tmp, mountPath: /tmp}
      {{- if .triton }}
      - {name: shm, mountPath: /dev/shm}
      {{- end }}
      {{- if $values.kafka.sasl.existingSecret }}
      - {name: kafka-login, mountPath: /etc/kafka-login, readOnly: true}
      {{- end }}
      {{- if or $values.kafka.oauth.existingSecret $values.kafka.oauth.tokenAudience }}
      - {name: kafka-oauth, mountPath: /etc/kafka-oauth, readOnly: true}
      {{- end }}
      {{- if $values.kafka.tls.existingSecret }}
      - {name: kafka-tls, mountPath: /etc/kafka-tls, readOnly: true}
      {{- end }}
      {{- if $values.kafka.tls.certManager.enabled }}
      - {name: kafka-certificate, mountPath: /etc/kafka-certificate, readOnly: true}
      {{- end }}
      {{- if $values.triton.tls.existingSecret }}
      - {name: triton-tls, mountPath: /etc/triton-tls, readOnly: true}
      {{- end }}
      {{- if $values.triton.control.existingSecret }}
      - {name: triton-control, mountPath: /etc/triton-control, readOnly: true}
      {{- end }}
      {{- with $values.extraVolumeMounts }}
      {{- tpl (toYaml .) $root | nindent 6 }}
      {{- end }}
volumes:
  - {name: settings, configMap: {name: {{ include "inferstream.fullname" $root }}}}
  - {name: tmp, emptyDir: {sizeLimit: 256Mi}}
  {{- if .triton }}
  {{- include "inferstream.tritonVolumes" $root | nindent 2 }}
  {{- end }}
  {{- with $values.kafka.sasl }}
  {{- if .existingSecret }}
  - {name: kafka-login, secret: {secretName: {{ .existingSecret | quote }}, defaultMode: 0440, items: [{{ if not $settings.kafka.sasl_username }}{key: {{ .usernameKey | quote }}, path: {{ .usernameKey | quote }}}, {{ end }}{key: {{ .passwordKey | quote }}, path: {{ .passwordKey | quote }}}]}}
  {{- end }}
  {{- end }}
  {{- with $values.kafka.oauth }}
  {{- if .existingSecret }}
  - {name: kafka-oauth, secret: {secretName: {{ .existingSecret | quote }}, defaultMode: 0440}}
  {{- else if .tokenAudience }}
  - {name: kafka-oauth, projected: {defaultMode: 0440, sources: [{serviceAccountToken: {audience: {{ .tokenAudience | quote }}, path: token}}]}}
  {{- end }}
  {{- end }}
  {{- with $values.kafka.tls.existingSecret }}
  - {name: kafka-tls, secret: {secretName: {{ . | quote }}, defaultMode: 0440}}
  {{- end }}
  {{- if $values.kafka.tls.certManager.enabled }}
  - {name: kafka-certificate, secret: {secretName: {{ include "inferstream.fullname" $root }}-kafka, defaultMode: 0440}}
  {{- end }}
  {{- with $values.triton.tls.existingSecret }}
  - {name: triton-tls, secret: {secretName: {{ . | quote }}, defaultMode: 0440}}
  {{- end }}
  {{- with $values.triton.control }}
  {{- if .existingSecret }}
  - {name: triton-control, secret: {secretName: {{ .existingSecret | quote }}, defaultMode: 0440, items: [{key: {{ .key | quote }}, path: {{ .key | quote }}}]}}
  {{- end }}
  {{- end }}
  {{- with $values.extraVolumes }}
  {{- tpl (toYaml .) $root | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "inferstream.componentLabels" -}}
{{ include "inferstream.instanceLabels" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* The service drains, then ends; a sidecar ends after it, within the same grace period. */}}
{{- define "inferstream.graceSeconds" -}}
{{- $settings := include "inferstream.effective" . | fromYaml -}}
{{- $sidecar := eq .Values.triton.mode "sidecar" | ternary (int .Values.triton.exitTimeoutSeconds) 0 -}}
{{- add (ceil (divf $settings.drain_timeout_ms 1000)) (int .Values.shutdown.marginSeconds) $sidecar -}}
{{- end -}}

{{/* As many as the start may take: the broker's time, then the model's, then half a minute to join the group. */}}
{{- define "inferstream.startupFailures" -}}
{{- $settings := index . 1 -}}
{{- $seconds := divf (addf $settings.kafka.start_timeout_ms $settings.triton.start_timeout_ms 30000) 1000 -}}
{{- ceil (divf $seconds (index . 0).probes.startup.periodSeconds) -}}
{{- end -}}

{{/* What a new pod may take, with ten minutes for its node and its images. */}}
{{- define "inferstream.progressSeconds" -}}
{{- $settings := include "inferstream.effective" . | fromYaml -}}
{{- $sidecar := eq .Values.triton.mode "sidecar" | ternary (int .Values.triton.startupSeconds) 0 -}}
{{- $start := mul (include "inferstream.startupFailures" (list .Values $settings) | int) (int .Values.probes.startup.periodSeconds) -}}
{{- add 600 $start $sidecar (include "inferstream.graceSeconds" . | int) -}}
{{- end -}}
