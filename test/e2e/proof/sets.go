package proof

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/csi-9p/csi-9p/test/e2e/suite"
)

// statefulSet: three pods with a claim template each; all deleted, each finds its own data again.
func statefulSet(t *suite.T) {
	s := newScene(t, map[string]string{"subDir": "${pvc.metadata.name}"})
	labels := map[string]string{"app": "db"}
	spec := podSpec("", []string{"sh", "-euc", "hostname >> /vol/boots; trap 'exit 0' TERM; sleep 100000 & wait"})
	spec.RestartPolicy = corev1.RestartPolicyAlways
	spec.Volumes = nil
	set := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Spec: appsv1.StatefulSetSpec{
			Replicas:             new(int32(3)),
			PodManagementPolicy:  appsv1.ParallelPodManagement,
			Selector:             &metav1.LabelSelector{MatchLabels: labels},
			Template:             corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec},
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "vol"}, Spec: claimSpec(s.class, corev1.ReadWriteOnce)}},
			PersistentVolumeClaimRetentionPolicy: &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
				WhenDeleted: appsv1.DeletePersistentVolumeClaimRetentionPolicyType,
			},
		},
	}
	sets := s.Cluster.Client.AppsV1().StatefulSets(s.Namespace)
	if _, err := sets.Create(s.Context(), set, metav1.CreateOptions{}); err != nil {
		s.Fatalf("creating the StatefulSet: %v", err)
	}
	s.Cleanup(func() { s.removed("StatefulSet", sets.Delete(s.Context(), "db", metav1.DeleteOptions{})) })
	s.boots(1)
	if err := s.pods().DeleteCollection(s.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app=db"}); err != nil {
		s.Fatalf("deleting the pods: %v", err)
	}
	s.boots(2)
}

// boots waits until each pod of the set has started n times on its own volume.
func (s *scene) boots(n int) {
	for i := range 3 {
		name := fmt.Sprintf("db-%d", i)
		want := ""
		for range n {
			want += name + "\n"
		}
		s.eventually(fmt.Sprintf("%s to have started %d times", name, n), func(context.Context) (bool, error) {
			got, err := os.ReadFile(s.path("vol-"+name, "boots"))
			if os.IsNotExist(err) {
				return false, nil
			}
			return string(got) == want, err
		})
	}
}

// fifty: as many claims and pods at once, half a node each; all of them gone in the end, and their directories too.
func fifty(t *suite.T) {
	s := newScene(t, nil)
	const n = 50
	started := time.Now()
	for i := range n {
		s.claim(many("claim", i), corev1.ReadWriteMany)
		s.pod(many("pod", i), many("claim", i), "hostname > /vol/name; sync", func(p *corev1.Pod) {
			p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: fmt.Sprintf("node%d", i%2+1)}
		})
	}
	var pods, claims []string
	for i := range n {
		s.succeeded(many("pod", i))
		s.holds(filepath.Join(s.volumeDir(many("claim", i)), "name"), many("pod", i)+"\n")
		pods, claims = append(pods, many("pod", i)), append(claims, many("claim", i))
	}
	s.Logf("%d claims bound and pods run in %s", n, time.Since(started).Round(time.Second/10))
	s.drop(pods...)
	if err := s.claims().DeleteCollection(s.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		s.Fatalf("deleting the claims: %v", err)
	}
	for _, claim := range claims {
		s.eventually("the directory of "+claim+" to go", func(context.Context) (bool, error) {
			_, err := os.Lstat(s.volumeDir(claim))
			return os.IsNotExist(err), nil
		})
	}
	s.Logf("all of it gone after %s", time.Since(started).Round(time.Second/10))
}
