package deploy_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/shares"
	"github.com/csi-9p/csi-9p/driver/volume"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	sigsyaml "sigs.k8s.io/yaml"
)

// others are API groups whose types are not Kubernetes' own.
var others = []string{"cert-manager.io/", "monitoring.coreos.com/"}

// What stands beside the driver, such as an exporter and examples, is known to the API too, and to the driver where it speaks to it.
func TestExamples(t *testing.T) {
	seen := 0
	for path, stream := range examples(t) {
		for _, doc := range documents(t, stream) {
			seen++
			object, _, err := strict.Decode(doc, nil, nil)
			switch {
			case runtime.IsNotRegisteredError(err) && foreign(t, doc):
			case err != nil:
				t.Errorf("%s: %v", path, err)
			default:
				if err := accepted(t, object); err != nil {
					t.Errorf("%s: %s: %v", path, name(t, object), err)
				}
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d objects were found", seen)
	}
}

// examples are the rendered kustomizations and the single files of deploy/ that are not the driver's own, by path.
func examples(t *testing.T) map[string][]byte {
	t.Helper()
	const root = "../../deploy"
	found := make(map[string][]byte)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == kubernetesDir, path == filepath.Join(root, "charts"):
			return fs.SkipDir
		case d.IsDir():
			if _, err := os.Stat(filepath.Join(path, "kustomization.yaml")); err == nil {
				found[path] = kustomize(t, path)
				return fs.SkipDir
			}
		case filepath.Ext(path) == ".yaml":
			found[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// foreign reports whether a document is of one of the others.
func foreign(t *testing.T, doc []byte) bool {
	t.Helper()
	var kind metav1.TypeMeta
	if err := sigsyaml.Unmarshal(doc, &kind); err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(others, func(group string) bool { return strings.HasPrefix(kind.APIVersion, group) })
}

// accepted asks the driver what it says to an object.
func accepted(t *testing.T, object runtime.Object) error {
	t.Helper()
	switch o := object.(type) {
	case *storagev1.StorageClass:
		merged, _, err := params.Merge(o.Parameters, o.MountOptions)
		if err == nil {
			_, err = params.Parse(merged)
		}
		return err
	case *corev1.PersistentVolume:
		if o.Spec.CSI == nil {
			return nil
		}
		_, _, err := volume.ParseContext(o.Spec.CSI.VolumeAttributes, o.Spec.MountOptions)
		return err
	case *corev1.ConfigMap:
		content, ours := o.Data["shares.yaml"]
		if !ours {
			return nil
		}
		path := filepath.Join(t.TempDir(), "shares.yaml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := shares.Open(path)
		return err
	}
	return nil
}
