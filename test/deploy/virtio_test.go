package deploy_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

// The overlays for devices and the release can be in one cluster: they have no object and no port of the node in common, and only the
// name of their own driver.
func TestDevicesBesideRelease(t *testing.T) {
	release := plain(t, overlay(t, "stable"))
	for _, variant := range []string{"virtio", "virtio-uio"} {
		objects := overlay(t, variant)
		for key := range plain(t, objects) {
			if _, both := release[key]; both {
				t.Errorf("%s: %s is the release's too", variant, key)
			}
		}
		drivers := all[*storagev1.CSIDriver](objects)
		if len(drivers) != 1 || drivers[0].Name != "virtio.csi-9p.dev" {
			t.Errorf("%s: drivers %v", variant, drivers)
		}
		for _, text := range []string{"=csi-9p.dev", "plugins/csi-9p.dev", "csi-9p-system"} {
			if bytes.Contains(kustomize(t, kubernetesDir+"/overlays/"+variant), []byte(text)) {
				t.Errorf("%s: %s is left somewhere", variant, text)
			}
		}
		for _, w := range workloads(objects) {
			for _, c := range w.containers() {
				for _, p := range c.Ports {
					if w.pod.Spec.HostNetwork && p.ContainerPort == 29692 {
						t.Errorf("%s: %s listens on the node's port %d, as the release does", variant, w.name, p.ContainerPort)
					}
				}
			}
		}
	}
}

// What reaches all memory of the machine is asked for in one overlay only, by name, with the pages that it needs.
func TestUnsafeDMAIsExplicit(t *testing.T) {
	for origin, objects := range everything(t) {
		for _, w := range workloads(objects) {
			for _, c := range w.containers() {
				unsafe := slices.Contains(c.Args, "--allow-unsafe-dma")
				pages := c.Resources.Limits[corev1.ResourceHugePagesPrefix+"2Mi"]
				if want := origin == "overlay virtio-uio" && c.Name == "mounter"; unsafe != want || pages.IsZero() == want {
					t.Errorf("%s: %s/%s: --allow-unsafe-dma %t, %s of huge pages", origin, w.name, c.Name, unsafe, &pages)
				}
			}
		}
	}
}

// A class of the chart's for devices has a volume made by the node that its pod is on, which nothing lets grow, unless it says otherwise.
func TestStorageClassesOfDevices(t *testing.T) {
	const values = deviceValues + `
feature: {virtio: ["virtio://share0"]}
storageClasses:
  - {name: plain, parameters: {server: "virtio://share0"}}
  - {name: rich, parameters: {server: "virtio://share0"}, volumeBindingMode: Immediate, allowVolumeExpansion: true}
`
	for _, c := range all[*storagev1.StorageClass](chart(t, values)) {
		rich := c.Name == "rich"
		if atOnce := *c.VolumeBindingMode == storagev1.VolumeBindingImmediate; atOnce != rich || *c.AllowVolumeExpansion != rich {
			t.Errorf("%s: %s, may grow %t", c.Name, *c.VolumeBindingMode, *c.AllowVolumeExpansion)
		}
	}
}

// The class that the notes suggest is one for the release's servers.
func TestNotesSuggestAClass(t *testing.T) {
	for values, tells := range map[string]string{
		"": "server: tcp://",
		deviceValues + "feature: {virtio: ['virtio://tag']}": "volumeBindingMode: WaitForFirstConsumer # the pod's node makes the volume, on the device that it has\n  parameters:\n    server: virtio://tag\n",
	} {
		files, err := render(values)
		if notes := files["csi-9p/templates/NOTES.txt"]; err != nil || !strings.Contains(notes, tells) {
			t.Errorf("%s: %v, %s", values, err, notes)
		}
	}
}

// The services of a node name the same shares, and meet where the mounter listens.
func TestSharesOfANode(t *testing.T) {
	for _, variant := range []string{"virtio", "virtio-uio"} {
		given := make(map[string][]string) // flags of the driver's verbs
		for _, w := range workloads(overlay(t, variant)) {
			for _, c := range w.containers() {
				if !strings.HasPrefix(c.Image, "ghcr.io/csi-9p/csi-9p:") {
					continue
				}
				for _, arg := range c.Args[1:] {
					if flag, value, _ := strings.Cut(arg, "="); flag == "--sessions" || flag == "--topology-share" || flag == "--nodeid" {
						given[c.Args[0]] = append(given[c.Args[0]], flag+"="+value)
					}
				}
			}
		}
		slices.Sort(given["node"])
		slices.Sort(given["controller"])
		if !slices.Equal(given["node"], given["controller"]) || len(given["node"]) != 3 {
			t.Errorf("%s: %v", variant, given)
		}
	}
}
