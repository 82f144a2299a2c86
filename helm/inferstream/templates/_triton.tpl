{{- define "inferstream.tritonContainer" -}}
{{- $triton := .Values.triton -}}
{{- $hasKey := ne $triton.control.existingSecret "" -}}
{{- $kept := list "model-repository" "trace" "logging" -}}
{{- if or $hasKey (eq $triton.mode "service") }}{{ $kept = append $kept "shared-memory" }}{{ end -}}
{{- if $hasKey }}{{ $kept = concat $kept (list "model-config" "statistics") }}{{ end -}}
{{- $settings := include "inferstream.effective" . | fromYaml -}}
name: triton
image: {{ include "inferstream.image" (list $triton.image "latest") | quote }}
imagePullPolicy: {{ $triton.image.pullPolicy }}
command: [tritonserver]
args:
  - --model-repository=/models
  - --model-config-name={{ gt (int $triton.gpu.count) 0 | ternary "gpu" "cpu" }}
  - --model-control-mode={{ $settings.triton.model_control }}
  {{- if eq $settings.triton.model_control "explicit" }}
  - --load-model=*
  {{- end }}
  - --strict-readiness=false # ready once all are loaded; later a version that loads, or cannot, must not look like death
  - --disable-auto-complete-config # a configuration says all, or is refused
  - --exit-on-error=true
  - --exit-timeout-secs={{ int $triton.exitTimeoutSeconds }}
  - --allow-http=false
  - --grpc-max-response-pool-size=64 # of a stream that nobody reads
  - --grpc-restricted-protocol={{ join "," $kept }}:$(CONTROL_KEY)
  {{- with $triton.extraArgs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
env:
  {{- if $hasKey }}
  - name: CONTROL_KEY
    valueFrom: {secretKeyRef: {name: {{ $triton.control.existingSecret | quote }}, key: {{ $triton.control.key | quote }}}}
  {{- else }}
  - name: POD_UID # nobody is told, so what the service does not need is closed to all
    valueFrom: {fieldRef: {fieldPath: metadata.uid}}
  - {name: CONTROL_KEY, value: closed=$(POD_UID)}
  {{- end }}
  {{- with $triton.extraEnv }}
  {{- tpl (toYaml .) $ | nindent 2 }}
  {{- end }}
ports:
  - {name: grpc, containerPort: 8001, protocol: TCP}
  - {name: triton-metrics, containerPort: 8002, protocol: TCP}
startupProbe:
  grpc: {port: 8001}
  periodSeconds: 2
  failureThreshold: {{ ceil (divf $triton.startupSeconds 2) }}
{{- if eq $triton.mode "service" }}
readinessProbe:
  grpc: {port: 8001}
  periodSeconds: 5
{{- end }}
livenessProbe:
  grpc: {port: 8001}
  periodSeconds: 10
  timeoutSeconds: 5
resources: {{ include "inferstream.tritonResources" . | nindent 2 }}
securityContext: {{ toYaml .Values.securityContext | nindent 2 }}
volumeMounts:
  - name: models
    mountPath: /models
    readOnly: true
    {{- if and $triton.models.subPath (has $triton.models.source (list "pvc" "image")) }}
    subPath: {{ $triton.models.subPath | quote }}
    {{- end }}
  - {name: shm, mountPath: /dev/shm}
  - {name: triton-tmp, mountPath: /tmp}
  {{- with $triton.extraVolumeMounts }}
  {{- tpl (toYaml .) $ | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "inferstream.tritonResources" -}}
{{- $resources := deepCopy .Values.triton.resources -}}
{{- with .Values.triton.gpu -}}
{{- if gt (int .count) 0 -}}
{{- $_ := set $resources "limits" (merge (dict .resource (int .count)) ($resources.limits | default dict)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* Copies the models before Triton starts, where they are in an image; of the shipped those the settings ask for. */}}
{{- define "inferstream.modelsContainer" -}}
{{- $models := .Values.triton.models -}}
{{- if has $models.source (list "shipped" "initContainer") -}}
- name: models
  {{- if eq $models.source "shipped" }}
  image: {{ include "inferstream.image" (list .Values.image .Chart.AppVersion) | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args: [models, copy, /models]
  env: {{ include "inferstream.env" . | nindent 4 }}
  {{- with .Values.extraEnvFrom }}
  envFrom: {{ tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  {{- else }}
  image: {{ $models.image | quote }}
  imagePullPolicy: {{ $models.pullPolicy }}
  command: {{ toJson $models.command }}
  {{- end }}
  resources:
    requests: {cpu: 100m, memory: 512Mi}
    limits: {memory: 512Mi}
  securityContext: {{ toYaml .Values.securityContext | nindent 4 }}
  volumeMounts:
    - {name: models, mountPath: /models}
    {{- if eq $models.source "shipped" }}
    - {name: settings, mountPath: /etc/inferstream, readOnly: true}
    {{- end }}
{{- end -}}
{{- end -}}

{{- define "inferstream.tritonVolumes" -}}
{{- $models := .Values.triton.models -}}
- {name: shm, emptyDir: {medium: Memory, sizeLimit: {{ .Values.triton.shm.sizeLimit }}}}
- {name: triton-tmp, emptyDir: {}}
{{- if eq $models.source "pvc" }}
- {name: models, persistentVolumeClaim: {claimName: {{ $models.claimName | quote }}, readOnly: true}}
{{- else if eq $models.source "image" }}
- {name: models, image: {reference: {{ $models.image | quote }}, pullPolicy: {{ $models.pullPolicy }}}}
{{- else }}
- {name: models, emptyDir: {}}
{{- end }}
{{- with .Values.triton.extraVolumes }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end -}}
