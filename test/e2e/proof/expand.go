package proof

import (
	"context"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/csi-9p/csi-9p/test/e2e/suite"
)

// expand: the claim's size is the pod's df, before and after it grows.
func expand(t *suite.T) {
	s := newScene(t, nil)
	s.claim("grows", corev1.ReadWriteMany)
	s.running("pod", "grows")
	if got := s.kilobytes("pod"); got != 1<<20 {
		s.Fatalf("df shows %d KiB for a volume of 1 GiB", got)
	}
	patch := []byte(`{"spec":{"resources":{"requests":{"storage":"3Gi"}}}}`)
	if _, err := s.claims().Patch(s.Context(), "grows", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		s.Fatalf("asking for 3 GiB: %v", err)
	}
	s.eventually("the claim to show its new size", func(ctx context.Context) (bool, error) {
		c, err := s.claims().Get(ctx, "grows", metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		return c.Status.Capacity.Storage().Cmp(resource.MustParse("3Gi")) == 0, nil
	})
	s.eventually("the running pod to see its new size", func(context.Context) (bool, error) {
		return s.kilobytes("pod") == 3<<20, nil
	})
	s.drop("pod")
}

// kilobytes is the size that df shows in a pod.
func (s *scene) kilobytes(pod string) int {
	out := s.exec(pod, "df -kP /vol | tail -n 1")
	fields := strings.Fields(out)
	if len(fields) < 2 {
		s.Fatalf("df: %q", out)
	}
	n, err := strconv.Atoi(fields[1])
	if err != nil {
		s.Fatalf("df: %q: %v", out, err)
	}
	return n
}
