package proof

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/csi-9p/csi-9p/test/e2e/build"
)

// mountPath is where pods of proofs have their volume.
const mountPath = "/vol"

func (s *scene) pods() typed.PodInterface { return s.Cluster.Client.CoreV1().Pods(s.Namespace) }

func (s *scene) claims() typed.PersistentVolumeClaimInterface {
	return s.Cluster.Client.CoreV1().PersistentVolumeClaims(s.Namespace)
}

func (s *scene) volumes() typed.PersistentVolumeInterface {
	return s.Cluster.Client.CoreV1().PersistentVolumes()
}

// edit changes a pod before it is made.
type edit func(*corev1.Pod)

// on pins a pod to a node.
func on(node string) edit {
	return func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: node} }
}

// container changes the pod's only container.
func container(change func(*corev1.Container)) edit {
	return func(p *corev1.Pod) { change(&p.Spec.Containers[0]) }
}

// running makes a pod with the claim's volume at /vol that does nothing but wait for exec.
func (s *scene) running(name, claim string, edits ...edit) {
	s.pod(name, claim, "trap 'exit 0' TERM; sleep 100000 & wait", edits...)
	s.ready(name)
}

// once makes a pod that runs a script on the claim's volume and waits until it has ended well. It returns its output.
func (s *scene) once(name, claim, script string, edits ...edit) string {
	s.pod(name, claim, script, edits...)
	return s.succeeded(name)
}

// pod makes a pod that runs a script with the claim's volume at /vol.
func (s *scene) pod(name, claim, script string, edits ...edit) {
	s.create(name, claim, []string{"sh", "-euc", script}, edits...)
}

func (s *scene) create(name, claim string, command []string, edits ...edit) {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec:       podSpec(claim, command),
	}
	for _, e := range edits {
		e(p)
	}
	if _, err := s.pods().Create(s.Context(), p, metav1.CreateOptions{}); err != nil {
		s.Fatalf("creating pod %s: %v", name, err)
	}
}

func podSpec(claim string, command []string) corev1.PodSpec {
	return corev1.PodSpec{
		RestartPolicy:                 corev1.RestartPolicyNever,
		TerminationGracePeriodSeconds: new(int64(5)),
		Containers: []corev1.Container{{
			Name:            "main",
			Image:           build.Workload,
			ImagePullPolicy: corev1.PullIfNotPresent,
			Command:         command,
			VolumeMounts:    []corev1.VolumeMount{{Name: "vol", MountPath: mountPath}},
		}},
		Volumes: []corev1.Volume{{Name: "vol", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
		}}},
	}
}

// ready waits until a pod's container runs.
func (s *scene) ready(name string) {
	s.eventually("pod "+name+" to be ready", func(ctx context.Context) (bool, error) {
		p, err := s.pods().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		if p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded {
			s.Fatalf("pod %s has ended (%s): %s", name, p.Status.Phase, s.logs(name))
		}
		return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}), nil
	})
}

// succeeded waits until a pod has ended with status 0, and returns its output.
func (s *scene) succeeded(name string) string {
	s.eventually("pod "+name+" to succeed", func(ctx context.Context) (bool, error) {
		p, err := s.pods().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		if p.Status.Phase == corev1.PodFailed {
			s.Fatalf("pod %s failed: %s", name, s.logs(name))
		}
		return p.Status.Phase == corev1.PodSucceeded, nil
	})
	return s.logs(name)
}

func (s *scene) logs(pod string) string {
	out, err := s.pods().GetLogs(pod, &corev1.PodLogOptions{}).DoRaw(s.Context())
	if err != nil {
		return fmt.Sprintf("(no logs: %v)", err)
	}
	return string(out)
}

// exec runs a script in a pod and returns its output without the last newline. A script that fails fails the proof.
func (s *scene) exec(pod, script string) string {
	out, err := s.try(pod, script)
	if err != nil {
		s.Fatalf("in pod %s: %s: %v\n%s", pod, script, err, out)
	}
	return out
}

// try is exec for scripts that may fail.
func (s *scene) try(pod, script string) (string, error) {
	out, err := s.Cluster.Exec(s.Context(), s.Namespace, pod, "", "sh", "-euc", script)
	return strings.TrimSuffix(out, "\n"), err
}

// drop deletes pods and waits until the kubelet has taken them down.
func (s *scene) drop(names ...string) {
	for _, name := range names {
		if err := s.pods().Delete(s.Context(), name, metav1.DeleteOptions{}); err != nil {
			s.Fatalf("deleting pod %s: %v", name, err)
		}
	}
	for _, name := range names {
		s.eventually("pod "+name+" to go", func(ctx context.Context) (bool, error) {
			_, err := s.pods().Get(ctx, name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return true, nil
			}
			return false, err
		})
	}
}
