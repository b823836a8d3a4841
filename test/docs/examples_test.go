package docs_test

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/volume"
)

// object is what of a Kubernetes object the examples are checked for.
type object struct {
	Kind         string            `json:"kind"`
	Provisioner  string            `json:"provisioner"`
	Parameters   map[string]string `json:"parameters"`
	MountOptions []string          `json:"mountOptions"`
	Spec         struct {
		MountOptions []string `json:"mountOptions"`
		CSI          struct {
			Driver           string            `json:"driver"`
			VolumeAttributes map[string]string `json:"volumeAttributes"`
		} `json:"csi"`
	} `json:"spec"`
}

// TestExamples makes sure that the driver takes the StorageClasses and PersistentVolumes that a reader may copy.
func TestExamples(t *testing.T) {
	checked := 0
	for _, p := range pages(t) {
		for _, block := range p.blocks() {
			for _, document := range strings.Split("\n"+block, "\n---") {
				var o object
				if yaml.Unmarshal([]byte(document), &o) != nil {
					continue // not YAML
				}
				switch {
				case o.Kind == "StorageClass" && o.Provisioner == driver.DefaultName:
					checkStorageClass(t, p, o)
				case o.Kind == "PersistentVolume" && o.Spec.CSI.Driver == driver.DefaultName:
					if _, _, err := volume.ParseContext(o.Spec.CSI.VolumeAttributes, o.Spec.MountOptions); err != nil {
						t.Errorf("%s: a PersistentVolume is refused: %v", p.path, err)
					}
				default:
					continue
				}
				checked++
			}
		}
	}
	if checked < 3 {
		t.Errorf("only %d examples were found", checked)
	}
}

func checkStorageClass(t *testing.T, p page, o object) {
	t.Helper()
	merged, _, err := params.Merge(o.Parameters, o.MountOptions)
	if err == nil {
		_, err = params.Parse(merged)
	}
	if err != nil {
		t.Errorf("%s: a StorageClass is refused: %v", p.path, err)
	}
}
