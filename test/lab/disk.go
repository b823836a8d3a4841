package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// SmallDisk is an empty directory with room for so many bytes, until the test ends.
func SmallDisk(tb testing.TB, size int64) string {
	tb.Helper()
	NeedRoot(tb)
	dir := filepath.Join(Dir(tb), "disk")
	if err := os.Mkdir(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := unix.Mount("csi-9p-lab", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		tb.Fatalf("mount a tmpfs: %v", err)
	}
	tb.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			tb.Errorf("unmount a tmpfs: %v", err)
		}
	})
	return dir
}
