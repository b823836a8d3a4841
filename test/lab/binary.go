package lab

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// binaryEnv names the csi-9p to test where there is no Go to build it with.
const binaryEnv = "CSI9P_TEST_BINARY"

// Binary is the path of csi-9p, built once a run from the tree under test, or
// that which CSI9P_TEST_BINARY in the environment names.
func Binary(tb testing.TB) string {
	tb.Helper()
	path, err := binary()
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(binaryEnv); path != "" {
		return path, nil
	}
	dir, err := run()
	if err != nil {
		return "", err
	}
	if err := dependOnSources(); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "csi-9p")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/csi-9p/csi-9p/cmd/csi-9p").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build csi-9p: %w\n%s", err, out)
	}
	return path, nil
})

// dependOnSources looks at the module's tree. What a test looks at, go test
// takes for its inputs: without that, it would answer from its cache although
// the binary has changed, which no import tells it.
func dependOnSources() error {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("find the module: %w", err)
	}
	return filepath.WalkDir(string(bytes.TrimSpace(root)), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		return err
	})
}
