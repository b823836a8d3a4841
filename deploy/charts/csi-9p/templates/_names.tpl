{{/* Labels of every object. */}}
{{- define "csi-9p.labels" -}}
app.kubernetes.io/name: csi-9p
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- with .Values.customLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels by which a workload finds its pods: dict root, component. */}}
{{- define "csi-9p.selector" -}}
app.kubernetes.io/name: csi-9p
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* An image and when to pull it: dict root, name. */}}
{{- define "csi-9p.image" -}}
{{- $image := index .root.Values.image .name -}}
image: {{ $image.repository }}:{{ $image.tag | default .root.Chart.AppVersion }}
imagePullPolicy: {{ $image.pullPolicy }}
{{- end }}

{{/* The driver's directory below the kubelet's. */}}
{{- define "csi-9p.pluginDir" -}}
{{ .Values.kubeletDir }}/plugins/{{ .Values.driver.name }}
{{- end }}

{{/* The nodes of the control plane, whatever their label's value: kubeadm sets none, k3s "true". */}}
{{- define "csi-9p.controlPlane" -}}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      - matchExpressions:
          - {key: node-role.kubernetes.io/control-plane, operator: Exists}
{{- end }}

{{/* What every workload's pods share: dict root, workload (its values). */}}
{{- define "csi-9p.scheduling" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
priorityClassName: {{ .workload.priorityClassName }}
terminationGracePeriodSeconds: 30
nodeSelector:
  kubernetes.io/os: linux
  {{- with .workload.nodeSelector }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .workload.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $affinity := .workload.affinity }}
{{- if .workload.runOnControlPlane }}
{{- if $affinity.nodeAffinity }}
{{- fail "runOnControlPlane and affinity.nodeAffinity exclude each other: leave one out" }}
{{- end }}
{{- $affinity = merge (include "csi-9p.controlPlane" . | fromYaml) $affinity }}
{{- end }}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Volumes of the shares' file and the client's certificate, both optional, both read again when they change. */}}
{{- define "csi-9p.sharesVolume" -}}
- name: shares
  configMap:
    name: csi-9p-shares
    optional: true
{{- end }}
{{- define "csi-9p.tlsVolume" -}}
- name: tls
  secret:
    secretName: {{ .Values.tls.secretName }}
    optional: true
    defaultMode: 0400
{{- end }}

{{/* The service account's token, as every pod would get it by default, but for the sidecars that ask the API alone. */}}
{{- define "csi-9p.tokenVolume" -}}
- name: token
  projected:
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3607}
      - configMap:
          name: kube-root-ca.crt
          items: [{key: ca.crt, path: ca.crt}]
      - downwardAPI:
          items:
            - path: namespace
              fieldRef: {fieldPath: metadata.namespace}
{{- end }}

{{/* Root, because the directories of the sockets are root's; nothing else of it. */}}
{{- define "csi-9p.rootWithout" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
seLinuxOptions:
  type: spc_t # with SELinux: container_t may not use sockets below the kubelet's directory
{{- end }}

{{/* No privilege at all; the user is the pod's. */}}
{{- define "csi-9p.unprivileged" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
