package initramfs_test

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/e2e/guest/initramfs"
)

// must fails the test at an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// unpack has busybox, which is not of this repository, unpack an archive.
func unpack(t *testing.T, archive []byte) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("busybox", "cpio", "-i", "-d")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(archive)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("busybox cpio (package busybox-static): %v\n%s", err, out)
	}
	return dir
}

func TestWhatIsWrittenIsUnpacked(t *testing.T) {
	files := map[string]string{"init": "#!", "a/b/c": "", "a/b/1": "1", "a/22": "22", "a/333": "333", "z/long": strings.Repeat("long ", 1<<18)}
	from := filepath.Join(t.TempDir(), "from")
	must(t, os.WriteFile(from, []byte("copied"), 0o755))

	var archive bytes.Buffer
	w := initramfs.NewWriter(&archive)
	must(t, w.Dir("empty/dir"))
	must(t, w.Device("dev/console", 5, 1))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		must(t, w.Bytes(name, 0o644, []byte(files[name])))
	}
	must(t, w.File("bin/copy", from))
	must(t, w.Link("bin/link", "copy"))
	must(t, w.Close())

	dir := unpack(t, archive.Bytes())
	files["bin/copy"], files["bin/link"] = "copied", "copied"
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, want %d (%v)", name, len(got), len(want), err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "bin/copy")); err != nil || info.Mode() != 0o755 {
		t.Errorf("bin/copy has the mode %v, want that of the file that was copied (%v)", info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Join(dir, "empty/dir")); err != nil || !info.IsDir() {
		t.Errorf("the empty directory: %v", err)
	}
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(dir, "dev/console"), &st))
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(5, 1) {
		t.Errorf("dev/console has mode %o and device %#x", st.Mode, st.Rdev)
	}
}

func TestFileThatIsMissing(t *testing.T) {
	w := initramfs.NewWriter(new(bytes.Buffer))
	if err := w.File("a", filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
		t.Errorf("%v, want %v", err, fs.ErrNotExist)
	}
}
