package lab

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Binary is the path of csi-9p, built once a run from the tree under test.
func Binary(tb testing.TB) string {
	tb.Helper()
	path, err := binary()
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

var binary = sync.OnceValues(func() (string, error) {
	dir, err := run()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "csi-9p")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/csi-9p/csi-9p/cmd/csi-9p").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build csi-9p: %w\n%s", err, out)
	}
	return path, nil
})
