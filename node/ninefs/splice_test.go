package ninefs_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/test/lab"
)

// TestSplicedReads: large reads bring what is in the file, whole and at its end, with the page cache and past it; their
// payload does not come to this process.
func TestSplicedReads(t *testing.T) {
	m := mount(t, exporter(t))
	data := make([]byte, 5<<20+12345)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	write(t, m.path("f"), string(data))
	spliced := uint64(5 << 20)
	if lab.IOURing(t) != fuse.IOURingOff {
		spliced = 0 // the kernel takes data from memory alone there
	}
	for name, flags := range map[string]int{"direct": unix.O_DIRECT, "cached": 0} {
		fd, err := unix.Open(m.path("f"), unix.O_RDONLY|unix.O_CLOEXEC|flags, 0)
		check(t, err)
		buf := aligned(t, 1<<20)
		_, before := m.meter.Paths()
		for off := 0; off < len(data); off += len(buf) {
			n, err := unix.Pread(fd, buf, int64(off))
			check(t, err)
			if want := data[off:min(len(data), off+len(buf))]; !bytes.Equal(buf[:n], want) {
				t.Errorf("%s: %d bytes at %d, want %d, or others", name, n, off, len(want))
			}
		}
		if _, after := m.meter.Paths(); flags != 0 && after.Spliced-before.Spliced != spliced {
			t.Errorf("%s: %d bytes spliced, want %d", name, after.Spliced-before.Spliced, spliced)
		}
		check(t, os.NewFile(uintptr(fd), "f").Close())
	}
}
