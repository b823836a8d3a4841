package proof

import (
	"io/fs"
	"path/filepath"

	"github.com/csi-9p/csi-9p/test/e2e/suite"
)

// examples: the API server checks each of them as it would on creation.
func examples(t *suite.T) {
	s := &scene{T: t}
	root := filepath.Join(t.Cluster.Repository, "deploy", "examples")
	n := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" || entry.Name() == "kustomization.yaml" {
			return err
		}
		s.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", path)
		n++
		return nil
	})
	if err != nil || n == 0 {
		t.Fatalf("%d examples: %v", n, err)
	}
	t.Logf("%d files accepted", n)
}
