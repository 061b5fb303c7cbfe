{{- define "tecken.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "tecken.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "tecken.labels" -}}
{{ include "tecken.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "tecken.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* Stops with a clear text if a value is missing without which no pod would start. */}}
{{- define "tecken.check" -}}
{{- if not .Values.image.repository }}
{{- fail "image.repository is empty: build docker/Dockerfile, push the image, and set its name" }}
{{- end }}
{{- if not .Values.existingSecret }}
{{- fail "existingSecret is empty: create a Secret with SECRET_KEY, DATABASE_URL and REDIS_PASSWORD, and set its name (docs/kubernetes.md)" }}
{{- end }}
{{- if not .Values.config.STORAGE_URL }}
{{- fail "config.STORAGE_URL is empty: set the bucket for symbol files, such as s3://bucket/symbols" }}
{{- end }}
{{- if hasPrefix "file:" .Values.config.STORAGE_URL }}
{{- fail "config.STORAGE_URL is a directory, and pods share no disk: set a bucket, such as s3://bucket/symbols" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) }}
{{- fail "ingress.host is empty: set the host name of the site, or ingress.enabled=false and config.ALLOWED_HOSTS" }}
{{- end }}
{{- if and (not .Values.ingress.enabled) (not .Values.config.ALLOWED_HOSTS) }}
{{- fail "config.ALLOWED_HOSTS is empty: without an ingress, set the host names for which the site answers" }}
{{- end }}
{{- range $name := list "SECRET_KEY" "DATABASE_URL" "REDIS_PASSWORD" "REDIS_URL" "REDIS_STORE_URL" "AWS_SECRET_ACCESS_KEY" "OIDC_RP_CLIENT_SECRET" }}
{{- if hasKey $.Values.config $name }}
{{- fail (printf "config.%s would be readable by everyone who may read ConfigMaps: move it to the Secret" $name) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "tecken.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "tecken.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* The environment that web servers, workers and beat share. */}}
{{- define "tecken.environment" -}}
envFrom:
  - configMapRef:
      name: {{ include "tecken.name" .root }}
  - secretRef:
      name: {{ .root.Values.existingSecret }}
env:
  {{- if or .root.Values.redisCache.enabled .root.Values.redisStore.enabled }}
  - name: REDIS_PASSWORD
    valueFrom:
      secretKeyRef:
        name: {{ .root.Values.existingSecret }}
        key: REDIS_PASSWORD
  {{- end }}
  {{- if .root.Values.redisCache.enabled }}
  - name: REDIS_URL
    value: redis://:$(REDIS_PASSWORD)@{{ include "tecken.name" .root }}-redis-cache:6379
  {{- end }}
  {{- if .root.Values.redisStore.enabled }}
  - name: REDIS_STORE_URL
    value: redis://:$(REDIS_PASSWORD)@{{ include "tecken.name" .root }}-redis-store:6379
  {{- end }}
  - name: SPOOL_DIR
    value: /spool
{{- end }}

{{/* What all pods of the site share, after `spec:`. */}}
{{- define "tecken.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
# The pause container adopts child processes whose parent was killed; else they would stay as zombies.
shareProcessNamespace: true
{{- with .root.Values.serviceAccount.name }}
serviceAccountName: {{ . }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "tecken.podSecurity" . | nindent 2 }}
{{- include "tecken.placement" . }}
{{- end }}

{{- define "tecken.placement" -}}
{{- with .part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "tecken.spread" -}}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "tecken.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}

{{/* The container of a Redis server: `server` is redis-cache or redis-store, `part` its values. */}}
{{- define "tecken.redis" -}}
- name: redis
  image: {{ .part.image }}
  imagePullPolicy: IfNotPresent
  # Not the image's own start, which loads modules that the site does not use.
  command:
    - redis-server
    - /etc/redis/redis.conf
    - --dir
    - /data
    - --requirepass
    - $(REDIS_PASSWORD)
    {{- with .part.maxmemory }}
    - --maxmemory
    - {{ . | quote }}
    {{- end }}
  env:
    - name: REDIS_PASSWORD
      valueFrom:
        secretKeyRef:
          name: {{ .root.Values.existingSecret }}
          key: REDIS_PASSWORD
    - name: REDISCLI_AUTH
      value: $(REDIS_PASSWORD)
  ports:
    - name: redis
      containerPort: 6379
  # It answers while it loads its append-only file.
  livenessProbe:
    tcpSocket:
      port: redis
    periodSeconds: 10
    failureThreshold: 6
  readinessProbe:
    exec:
      command: [sh, -c, redis-cli ping | grep -q PONG]
    periodSeconds: 5
    timeoutSeconds: 5
  resources:
    {{- toYaml .part.resources | nindent 4 }}
  securityContext:
    {{- include "tecken.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - name: configuration
      mountPath: /etc/redis
    - name: data
      mountPath: /data
{{- end }}

{{/* ConfigMap and Service of a Redis server. */}}
{{- define "tecken.redisAround" -}}
{{- $name := printf "%s-%s" (include "tecken.name" .root) .component }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $name }}
  labels:
    {{- include "tecken.labels" . | nindent 4 }}
data:
  redis.conf: |
    {{- .root.Files.Get (printf "files/%s.conf" .component) | nindent 4 }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels:
    {{- include "tecken.labels" . | nindent 4 }}
spec:
  selector:
    {{- include "tecken.selector" . | nindent 4 }}
  ports:
    - name: redis
      port: 6379
      targetPort: redis
{{- end }}

{{/* What the pods of both Redis servers share, after `spec:`. */}}
{{- define "tecken.redisPod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "tecken.podSecurity" . | nindent 2 }}
{{- include "tecken.placement" . }}
{{- end }}
