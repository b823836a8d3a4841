// Package proof holds what the driver promises to those who run pods on it, each promise as a function that keeps it
// before your eyes: real claims and pods on the lab's cluster, with the server's side of every volume in plain sight.
package proof

import (
	"cmp"

	"github.com/csi-9p/csi-9p/test/e2e/suite"
)

// Proofs returns all of them, in the order in which they run: what everything else rests on comes first, what breaks
// things last.
func Proofs() []suite.Proof {
	proofs := []suite.Proof{
		{Suite: "smoke", Name: "pod-runs", About: "a pod runs on each node", Run: podRuns},
		{Name: "rwx-two-nodes", About: "pods on two nodes share a ReadWriteMany volume", Run: sharedByTwoNodes},
		{Name: "rwo", About: "a ReadWriteOnce volume keeps its data from pod to pod", Run: readWriteOnce},
		{Name: "rox", About: "a ReadOnlyMany volume is read on two nodes and written by nobody", Run: readOnlyMany},
		{Name: "rwop", About: "a ReadWriteOncePod volume has one pod at a time", Run: readWriteOncePod},
		{Name: "fsgroup", About: "a pod without root writes through its fsGroup", Run: fsGroup},
		{Name: "user-namespace", About: "a pod in a user namespace of its own owns what it writes", Run: userNamespace},
		{Name: "subpath", About: "subPath mounts a directory of the volume", Run: subPath},
		{Name: "read-only", About: "a volume mounted read-only refuses writes", Run: readOnly},
		{Name: "static-volume", About: "a PersistentVolume written by hand shows a directory that was there before", Run: staticVolume},
		{Name: "reclaim", About: "onDelete decides what becomes of the directory; a retained volume stays", Run: reclaim},
		{Name: "expand", About: "a volume grows under a running pod, which sees its new size", Run: expand},
		{Name: "statefulset", About: "the pods of a StatefulSet find their own volumes again", Run: statefulSet},
		{Name: "wrong-parameters", About: "a wrong parameter gives an Event that names the key", Run: wrongParameters},
		{Name: "tls-exporter", About: "the exporter's manifests serve the cluster over TLS, and refuse a stranger's certificate", Run: tlsExporter},
		{Name: "node-deployment", About: "each node provisions on the share that it has, through its mounter, and volumes stay where their share is", Run: nodeDeployment},
		{Name: "examples", About: "the API server accepts every example of the repository", Run: examples},
		{Name: "metrics", About: "every process tells its metrics and its health", Run: metrics},
		{Name: "zero-copy", About: "zeroCopy decides whether the mounter copies a volume's data, and its metrics say so", Run: zeroCopy},
		{Name: "fifty", About: "50 claims and pods at once", Run: fifty},
		{Name: "node-rollout", About: "the node plugin is rolled under verified I/O: no error, no pause over a second", Run: nodeRollout},
		{Name: "controller-killed", About: "the controller is killed in the middle of provisioning: one directory a claim", Run: controllerKilled},
		{Name: "kubelet-restart", About: "a kubelet restarts under verified I/O, then takes new pods", Run: kubeletRestart},
		{Name: "server-lost", About: "pods of a dead server can be deleted within a minute, the node goes on; the server back, so are its volumes", Run: serverLost},
	}
	for i := range proofs {
		proofs[i].Suite = cmp.Or(proofs[i].Suite, "proofs")
	}
	return proofs
}
