package params

import "github.com/csi-9p/csi-9p/driver/subdir"

// Keys that external-provisioner adds with --extra-create-metadata, and
// kubelet with podInfoOnMount.
const (
	pvName       = kubernetesPrefix + "pv/name"
	pvcName      = kubernetesPrefix + "pvc/name"
	pvcNamespace = kubernetesPrefix + "pvc/namespace"
	ephemeral    = kubernetesPrefix + "ephemeral"
)

// ParseMetadata returns the names that a subDir template may use. What
// Kubernetes did not tell is empty.
func ParseMetadata(values map[string]string) subdir.Names {
	return subdir.Names{
		PV:           values[pvName],
		PVC:          values[pvcName],
		PVCNamespace: values[pvcNamespace],
	}
}

// Ephemeral reports whether values are those of a volume written inline in a pod.
func Ephemeral(values map[string]string) bool { return values[ephemeral] == "true" }
