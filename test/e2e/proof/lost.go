package proof

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/csi-9p/csi-9p/test/e2e/suite"
)

// patience is how long the pods of a dead server may take to go.
const patience = 60 * time.Second

// serverLost: three pods depend on a server that dies: one that sits, one in the middle of verified I/O, one with dirty
// pages of a mapped file. Volumes of another server go on, the pods go when they are deleted, the node takes new ones;
// and when the server is back, so is its data.
func serverLost(t *suite.T) {
	s := newScene(t, nil)
	healthy := newSceneOn(t, serve(t, "healthy"), t.Namespace+"-healthy", nil)

	s.claim("doomed", corev1.ReadWriteMany)
	healthy.claim("fine", corev1.ReadWriteMany)
	s.running("sitting", "doomed", on("node1"))
	s.exec("sitting", "echo words > /vol/file; sync")
	s.create("writing", "doomed", []string{"workload", "verify", mountPath + "/writing"}, on("node1"))
	s.create("dirtying", "doomed", []string{"workload", "dirty", mountPath + "/mapped"}, on("node1"))
	s.says("writing", "verifying")
	s.says("dirtying", "dirtying")
	neighbour := healthy.verify("neighbour", "fine", "node1")

	if err := s.share.Kill(); err != nil {
		s.Fatalf("killing the server: %v", err)
	}
	s.Cleanup(func() { _ = s.share.Start() }) // its volumes cannot be deleted without it; it may run already
	started := time.Now()
	s.drop("sitting", "writing", "dirtying")
	if took := time.Since(started); took > patience {
		s.Errorf("the pods of the dead server took %s to go", took)
	}
	s.Logf("the pods of the dead server were gone after %s", since(started))
	s.mountsGone("node1")
	s.nodeIsReady("node1")
	healthy.once("newcomer", "fine", "ls /vol", on("node1"))
	s.drop("newcomer")

	s.pod("early", "doomed", "cat /vol/file", on("node1"))
	s.event("early", s.share.URL, "connection refused")
	if err := s.share.Start(); err != nil {
		s.Fatalf("starting the server again: %v", err)
	}
	if got := s.succeeded("early"); got != "words\n" {
		s.Fatalf("with the server back, a new pod reads %q", got)
	}
	s.drop("early")
	neighbour.end()
}

func (s *scene) nodeIsReady(name string) {
	s.eventually(name+" to be ready", func(ctx context.Context) (bool, error) {
		node, err := s.Cluster.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady {
				return c.Status == corev1.ConditionTrue, nil
			}
		}
		return false, nil
	})
}
