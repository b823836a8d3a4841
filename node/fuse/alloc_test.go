//go:build !race

package fuse_test

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/test/lab"
)

// TestAllocations counts what a request allocates, over a real mount. The race detector allocates on its own.
func TestAllocations(t *testing.T) { lab.Loops(t, testAllocations) }

func testAllocations(t *testing.T, on fuse.IOURing) {
	fs := newMemFS(t, on)
	fs.add("data", make([]byte, 1<<20))
	m := mount(t, fs, fuse.Config{})
	fd := open(t, m.path("data"), unix.O_RDWR|unix.O_DIRECT)
	buf := aligned(t, 1<<20)
	path, err := unix.BytePtrFromString(m.path("data"))
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	must := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct {
		name string
		op   func()
	}{
		{"read", func() { _, err := unix.Pread(fd, buf[:4096], 0); must(err) }},
		{"read of 1 MiB", func() { _, err := unix.Pread(fd, buf, 0); must(err) }},
		{"write", func() { _, err := unix.Pwrite(fd, buf[:4096], 0); must(err) }},
		{"write of 1 MiB", func() { _, err := unix.Pwrite(fd, buf, 0); must(err) }},
		{"getattr", func() { must(unix.Fstat(fd, &st)) }},
		{"lookup", func() {
			_, _, errno := unix.Syscall6(unix.SYS_NEWFSTATAT, 0, uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&st)), 0, 0, 0)
			if errno != 0 {
				t.Error(errno)
			}
		}},
	} {
		// The first rounds fill the pools; the average is rounded down, so that one more of them does not count.
		if n := testing.AllocsPerRun(1000, c.op); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}
