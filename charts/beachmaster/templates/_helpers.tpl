{{/* Name of every object: the release's. */}}
{{- define "beachmaster.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* Name of the objects that are not in a namespace: two installations must not share them. */}}
{{- define "beachmaster.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "beachmaster.name" .) -}}
{{- end -}}

{{- define "beachmaster.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "beachmaster.name" .) -}}
{{- end -}}

{{- define "beachmaster.selector" -}}
app.kubernetes.io/name: beachmaster
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "beachmaster.labels" -}}
{{ include "beachmaster.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "beachmaster.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}
