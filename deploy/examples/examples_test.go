// Package examples_test holds the examples against each other: what one of them names, another one has.
package examples_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/csi-9p/csi-9p/driver/shares"
)

// object is what of a Kubernetes object the examples are checked for.
type object struct {
	Kind       string
	Metadata   struct{ Name string }
	Parameters map[string]string
	Data       map[string]string
	Spec       struct {
		StorageClassName     string
		CSI                  struct{ VolumeAttributes map[string]string }
		VolumeClaimTemplates []struct {
			Spec struct{ StorageClassName string }
		}
	}
}

// objects reads every object of every example, by kind. The Markdown's YAML blocks count too.
func objects(t *testing.T) map[string][]object {
	t.Helper()
	all := map[string][]object{}
	for _, path := range files(t) {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts := []string{string(content)}
		if strings.HasSuffix(path, ".md") {
			texts = nil
			for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(content), -1) {
				texts = append(texts, block[1])
			}
		}
		for _, text := range texts {
			for _, document := range strings.Split(text, "\n---\n") {
				var o object
				if err := yaml.Unmarshal([]byte(document), &o); err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				all[o.Kind] = append(all[o.Kind], o)
			}
		}
	}
	return all
}

// files lists the examples.
func files(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if slices.Contains([]string{".yaml", ".md"}, filepath.Ext(path)) && path != "README.md" {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSharesExist(t *testing.T) {
	all := objects(t)
	if len(all["ConfigMap"]) != 1 {
		t.Fatalf("%d ConfigMaps, want the one of the shares", len(all["ConfigMap"]))
	}
	path := filepath.Join(t.TempDir(), "shares.yaml")
	if err := os.WriteFile(path, []byte(all["ConfigMap"][0].Data["shares.yaml"]), 0o600); err != nil {
		t.Fatal(err)
	}
	configured, err := shares.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range append(all["StorageClass"], all["PersistentVolume"]...) {
		share := o.Parameters["share"] + o.Spec.CSI.VolumeAttributes["share"]
		if share == "" {
			continue
		}
		if _, err := configured.Lookup(share); err != nil {
			t.Errorf("%s: %v", o.Metadata.Name, err)
		}
	}
}

func TestClassesExist(t *testing.T) {
	all := objects(t)
	known := map[string]bool{"": true} // a claim that names its volume
	for _, class := range all["StorageClass"] {
		known[class.Metadata.Name] = true
	}
	asked := map[string]string{}
	for _, claim := range all["PersistentVolumeClaim"] {
		asked[claim.Metadata.Name] = claim.Spec.StorageClassName
	}
	for _, set := range all["StatefulSet"] {
		for _, template := range set.Spec.VolumeClaimTemplates {
			asked[set.Metadata.Name] = template.Spec.StorageClassName
		}
	}
	for claim, class := range asked {
		if !known[class] {
			t.Errorf("%s asks for the class %q, which no example has", claim, class)
		}
	}
}

func TestIndexNamesEveryExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files(t) {
		if !strings.Contains(string(readme), "| ["+path+"]("+path+") |") {
			t.Errorf("README.md does not name %s", path)
		}
	}
}
