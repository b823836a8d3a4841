// Package lab holds the fixtures of the tests that need real things: a 9P
// server on a directory of its own (Debian's diod, or the project's exporter),
// a mount of it made by the real csi-9p binary, and child processes for work
// that may block or fault on a mount.
//
// A package that uses it calls [Main] from its TestMain. Whatever a fixture
// makes lives in one directory of the run and carries one mark in its
// environment, so that Main can tell at the end that no process, mount, socket
// or file was left behind. Fixtures end with the test that asked for them.
package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// markEnv is set in the environment of every process a fixture starts, and so
// of its descendants: what Main looks for at the end.
const markEnv = "CSI9P_LAB_RUN"

// tended is set by [Main], which removes what fixtures make.
var tended bool

// run is the directory of this test run, made when first asked for.
var run = sync.OnceValues(func() (string, error) {
	if !tended {
		return "", errors.New("TestMain does not call lab.Main: nothing would remove it")
	}
	dir, err := os.MkdirTemp("", "csi-9p-lab-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // tests that act as another user walk through it.
		return "", err
	}
	return filepath.EvalSymlinks(dir)
})

// Main runs the tests of a package, or one of children in a process made by
// [Child], and exits. It fails the run when a fixture left something behind, or
// the tests a goroutine or an open file; foreign are the goroutines of libraries
// that have no end.
func Main(m *testing.M, children map[string]Work, foreign ...goleak.Option) {
	if name, ok := os.LookupEnv(childEnv); ok {
		os.Exit(runChild(children, name))
	}
	restore := func() {}
	if os.Getenv(IOURingEnv) != "" {
		if done, err := EnableIOURing(); err == nil { // else the tests are skipped, and say why
			restore = done
		}
	}
	before := openFiles()
	tended = true
	code := m.Run()
	restore()
	for _, left := range append(leftovers(), leaks(before, foreign)...) {
		fmt.Fprintln(os.Stderr, "left behind:", left)
		code = max(code, 1)
	}
	os.Exit(code)
}

// Dir makes an empty directory that is removed when the test ends. Its path
// holds no symbolic link and is short enough for a unix socket in it.
func Dir(tb testing.TB) string {
	tb.Helper()
	root, err := run()
	if err != nil {
		tb.Fatalf("make the directory of this run: %v", err)
	}
	dir, err := os.MkdirTemp(root, "")
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // servers that drop to another uid walk through it.
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Errorf("remove a test's directory: %v", err)
		}
	})
	return dir
}

// Need fails the test unless a program is installed, and says which Debian
// package brings it.
func Need(tb testing.TB, program, debianPackage string) string {
	tb.Helper()
	for _, path := range []string{program, "/usr/sbin/" + program} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	tb.Fatalf("%s is not installed: apt-get install %s", program, debianPackage)
	return ""
}

// NeedRoot fails the test unless it runs as root with /dev/fuse.
func NeedRoot(tb testing.TB) {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Fatal("mounting needs root: run the tests as root")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		tb.Fatalf("mounting needs FUSE (modprobe fuse): %v", err)
	}
}
