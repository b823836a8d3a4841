package proof

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/csi-9p/csi-9p/test/e2e/suite"
)

// nodeRollout: every pod of the node plugin is replaced while pods on both nodes verify what they write. The same work
// on the node's own disk tells how long the machine itself makes a round wait.
func nodeRollout(t *suite.T) {
	s := newScene(t, nil)
	s.claim("data", corev1.ReadWriteMany)
	volumes := []*verifier{s.verify("volume1", "data", "node1"), s.verify("volume2", "data", "node2")}
	disk := s.verify("disk", "", "node1")

	before := s.podNames("node")
	s.kubectl("-n", driverNamespace, "rollout", "restart", "daemonset/csi-9p-node")
	s.kubectl("-n", driverNamespace, "rollout", "status", "daemonset/csi-9p-node", "--timeout=120s")
	if after := s.podNames("node"); slices.ContainsFunc(after, func(p string) bool { return slices.Contains(before, p) }) {
		s.Fatalf("the node plugin was not replaced: %v before, %v after", before, after)
	}
	s.once("newcomer", "data", "ls /vol", on("node2"))
	s.drop("newcomer")

	machine := disk.end().Longest
	for _, v := range volumes {
		if r := v.end(); r.Longest > 1+machine {
			s.Errorf("%s paused for %.3f s; the machine itself for %.3f s", v.pod, r.Longest, machine)
		}
	}
}

// controllerKilled: both controllers are killed with provisioning under way; in the end each claim has one directory
// and nothing else is left on the share.
func controllerKilled(t *suite.T) {
	s := newScene(t, nil)
	const n = 20
	for i := range n {
		s.claim(many("claim", i), corev1.ReadWriteMany)
		if i == n/2 {
			s.kubectl("-n", driverNamespace, "delete", "pod", "-l", "app.kubernetes.io/component=controller", "--force", "--grace-period=0")
		}
	}
	want := []string{}
	for i := range n {
		s.bound(many("claim", i))
		want = append(want, many("claim", i))
	}
	entries, err := os.ReadDir(s.path(s.Namespace))
	if err != nil {
		s.Fatalf("on the server's side: %v", err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		s.Fatalf("the claims' directories are %v", got)
	}
	if err := s.claims().DeleteCollection(s.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		s.Fatalf("deleting the claims: %v", err)
	}
	s.eventually("every trace of the volumes to go", func(context.Context) (bool, error) {
		for _, dir := range []string{s.path(s.Namespace), s.path(".csi-9p", "volumes"), s.path(".csi-9p", "dirs"), s.path(".csi-9p", "trash")} {
			left, err := os.ReadDir(dir)
			if len(left) > 0 || (err != nil && !os.IsNotExist(err)) {
				return false, err
			}
		}
		return true, nil
	})
}

// kubeletRestart: running pods do not notice; the driver is known to the new kubelet, which starts another pod.
func kubeletRestart(t *suite.T) {
	s := newScene(t, nil)
	s.claim("data", corev1.ReadWriteMany)
	v := s.verify("worker", "data", "node1")
	node := s.Cluster.Node("node1")
	if err := node.Kubelet.Restart(); err != nil {
		s.Fatalf("restarting the kubelet: %v", err)
	}
	if got := s.once("newcomer", "data", "ls /vol", on("node1")); !strings.Contains(got, "worker") {
		s.Fatalf("the new pod sees %q", got)
	}
	s.drop("newcomer")
	v.end()
	s.mountsGone("node1")
}

// mountsGone waits until a node has none of the scene's volumes mounted: they are known by the address of the share.
func (s *scene) mountsGone(node string) {
	s.eventually("the mounts on "+node+" to go", func(ctx context.Context) (bool, error) {
		table, err := s.Cluster.Node(node).Run(ctx, "cat", "/proc/self/mountinfo")
		return !strings.Contains(table, strings.TrimPrefix(s.share.URL, "tcp://")), err
	})
}

// podNames are the names of the driver's pods of a component.
func (s *scene) podNames(component string) []string {
	var names []string
	for _, p := range s.driverPods(component) {
		names = append(names, p.Name)
	}
	return names
}

// driverPods are the driver's pods of a component, but for those on their way out.
func (s *scene) driverPods(component string) []corev1.Pod {
	list, err := s.Cluster.Client.CoreV1().Pods(driverNamespace).List(s.Context(),
		metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=" + component})
	if err != nil {
		s.Fatalf("looking for the driver's pods: %v", err)
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
}

func (s *scene) kubectl(args ...string) string {
	out, err := s.Cluster.Kubectl(s.Context(), args...)
	if err != nil {
		s.Fatalf("kubectl %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// says waits until a pod's output has the text.
func (s *scene) says(pod, text string) {
	s.ready(pod)
	s.eventually("pod "+pod+" to say "+text, func(context.Context) (bool, error) {
		return strings.Contains(s.logs(pod), text), nil
	})
}

// since is how long ago that was, to a tenth of a second.
func since(start time.Time) time.Duration { return time.Since(start).Round(time.Second / 10) }
