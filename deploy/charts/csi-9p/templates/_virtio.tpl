{{/* What the services of a node are told of its devices: flags, as list items. */}}
{{- define "csi-9p.devices" -}}
{{- if eq .Values.driver.name "csi-9p.dev" }}
{{- fail "feature.virtio: give the driver a name of its own (driver.name): a central csi-provisioner of this name would take every claim" }}
{{- end -}}
- --sessions=unix:///csi/mounter/sessions.sock
{{- range .Values.feature.virtio }}
- --topology-share={{ . }}
{{- end }}
{{- end }}

{{/* Containers that provision on the node's own devices. */}}
{{- define "csi-9p.onNode" -}}
- name: controller
  {{- include "csi-9p.image" (dict "root" . "name" "csi-9p") | nindent 2 }}
  args:
    - controller
    - --endpoint=unix:///controller/csi.sock
    - --drivername={{ .Values.driver.name }}
    - --config=/etc/csi-9p/shares.yaml
    - --nodeid=$(NODE_NAME)
    {{- include "csi-9p.devices" . | nindent 4 }}
    - --http-endpoint=:29690
    - --v={{ .Values.controller.logLevel }}
  env:
    - name: NODE_NAME
      valueFrom:
        fieldRef:
          fieldPath: spec.nodeName
  ports:
    - {name: controller, containerPort: 29690}
  livenessProbe:
    httpGet: {path: /healthz, port: controller}
    initialDelaySeconds: 10
    periodSeconds: 20
    timeoutSeconds: 5
    failureThreshold: 3
  volumeMounts:
    - {name: plugin, mountPath: /csi}
    - {name: controller, mountPath: /controller}
    - {name: shares, mountPath: /etc/csi-9p, readOnly: true}
  resources:
    {{- toYaml (index .Values.controller.resources "csi-9p") | nindent 4 }}
  securityContext:
    {{- include "csi-9p.rootWithout" . | nindent 4 }}
- name: csi-provisioner
  {{- include "csi-9p.image" (dict "root" . "name" "csiProvisioner") | nindent 2 }}
  args:
    - --csi-address=/controller/csi.sock
    - --node-deployment
    - --strict-topology
    - --immediate-topology=false
    - --extra-create-metadata=true
    - --timeout={{ .Values.controller.timeout }}
    - --retry-interval-max=1m
    - --snapshot-orphan-sweep-interval=0
    - --http-endpoint=:29694
    - --v={{ .Values.controller.logLevel }}
  env:
    - name: NODE_NAME
      valueFrom:
        fieldRef:
          fieldPath: spec.nodeName
  ports:
    - {name: provisioner, containerPort: 29694}
  volumeMounts:
    - {name: controller, mountPath: /controller}
    - {name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
  resources:
    {{- toYaml .Values.controller.resources.csiProvisioner | nindent 4 }}
  securityContext:
    {{- include "csi-9p.rootWithout" . | nindent 4 }}
{{- end }}

{{/* Their volumes. */}}
{{- define "csi-9p.onNodeVolumes" -}}
- name: controller # the controller's socket
  emptyDir: {}
{{ include "csi-9p.tokenVolume" . }}
{{- end }}
