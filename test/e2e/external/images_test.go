package external_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/test/e2e/external"
)

func TestImages(t *testing.T) {
	var repositories []string
	for _, name := range external.Images() {
		repository, tag, ok := strings.Cut(name, ":")
		if !ok || tag == "" {
			t.Errorf("%s has no tag", name)
		}
		repositories = append(repositories, repository)
	}
	want := []string{
		"registry.k8s.io/e2e-test-images/agnhost",
		"registry.k8s.io/e2e-test-images/busybox",
		"registry.k8s.io/e2e-test-images/glibc-dns-testing",
		"registry.k8s.io/e2e-test-images/nginx",
		"registry.k8s.io/sig-storage/hello-populator",
	}
	if !slices.Equal(repositories, want) {
		t.Errorf("got images of %q, want %q", repositories, want)
	}
}
