package proof

import (
	"encoding/json"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// verifier is a pod that writes, reads back and compares until it is told to end.
type verifier struct {
	scene *scene
	pod   string
}

// result is what the workload prints at its end.
type result struct {
	Rounds  int     `json:"rounds"`
	Longest float64 `json:"longestSeconds"`
}

// verify starts verified I/O on a claim's volume, or on the node's own disk if the claim is "".
func (s *scene) verify(name, claim, node string) *verifier {
	s.create(name, claim, []string{"workload", "verify", mountPath + "/" + name}, on(node), func(p *corev1.Pod) {
		p.Spec.TerminationGracePeriodSeconds = new(int64(60))
		if claim == "" {
			p.Spec.Volumes[0].VolumeSource = corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
		}
	})
	s.says(name, "verifying")
	return &verifier{scene: s, pod: name}
}

// end tells the workload to end, fails the proof if it met an error or was ever restarted, and returns what it did.
func (v *verifier) end() result {
	s := v.scene
	p, err := s.pods().Get(s.Context(), v.pod, metav1.GetOptions{})
	if err != nil {
		s.Fatalf("looking at pod %s: %v", v.pod, err)
	}
	if p.Status.Phase != corev1.PodRunning {
		s.Fatalf("pod %s ended too early (%s): %s", v.pod, p.Status.Phase, s.logs(v.pod))
	}
	s.exec(v.pod, "kill -TERM 1")
	out := s.succeeded(v.pod)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var r result
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		s.Fatalf("pod %s: %q is no result: %v", v.pod, out, err)
	}
	if r.Rounds == 0 {
		s.Fatalf("pod %s did nothing", v.pod)
	}
	s.Logf("%s: %d rounds without an error, the slowest took %.3f s", v.pod, r.Rounds, r.Longest)
	s.drop(v.pod)
	return r
}
