package deploy_test

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The chart and the overlays make the same objects. Only the Namespace is not the chart's to make.
func TestChartIsOverlay(t *testing.T) {
	for name, values := range map[string]string{"stable": "", "vsock": "feature: {vsock: true}"} {
		t.Run(name, func(t *testing.T) {
			same(t, kustomize(t, kubernetesDir+"/overlays/"+name), template(t, values))
		})
	}
}

// The chart's release for devices is the overlays for them, in their namespace.
func TestChartIsDevicesOverlay(t *testing.T) {
	for name, values := range map[string]string{
		"virtio":     "feature: {virtio: ['virtio://share0']}",
		"virtio-uio": "feature: {virtio: ['virtio://share0'], unsafeDMA: true}",
	} {
		t.Run(name, func(t *testing.T) {
			same(t, kustomize(t, kubernetesDir+"/overlays/"+name), templateIn(t, deviceNamespace, deviceValues+values))
		})
	}
}

// A driver for devices does not take the claims of the release's.
func TestDevicesHaveADriver(t *testing.T) {
	if _, err := render("feature: {virtio: ['virtio://share0']}"); err == nil || !strings.Contains(err.Error(), "driver.name") {
		t.Errorf("got %v", err)
	}
}

// docs/install.md: with sed, the manifests are for another kubelet's directory, as the chart is by its value kubeletDir.
func TestKubeletDir(t *testing.T) {
	const dir = "/srv/kubelet"
	for name, values := range map[string]string{"stable": "", "vsock": "feature: {vsock: true}\n"} {
		t.Run(name, func(t *testing.T) {
			edited := bytes.ReplaceAll(kustomize(t, kubernetesDir+"/overlays/"+name), []byte("/var/lib/kubelet"), []byte(dir))
			made := template(t, values+"kubeletDir: "+dir)
			same(t, edited, made)
			if bytes.Contains(made, []byte("/var/lib")) {
				t.Error("the default directory is left somewhere")
			}
		})
	}
}

// same compares two streams of documents, object by object.
func same(t *testing.T, overlay, chart []byte) {
	t.Helper()
	want, got := plain(t, decode(t, overlay)), plain(t, decode(t, chart))
	delete(want, "Namespace//"+namespace)
	delete(want, "Namespace//"+deviceNamespace)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("objects (- overlay, + chart):\n%s", diff)
	}
	for key := range want {
		if diff := cmp.Diff(want[key], got[key]); diff != "" && got[key] != nil {
			t.Errorf("%s (- overlay, + chart):\n%s", key, diff)
		}
	}
}
