//go:build !race

// With the race detector on, sync.Pool drops what it is given at random.

package ninefs_test

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestNoAllocation: a READ or WRITE, from the kernel's request to the answer, allocates nothing.
func TestNoAllocation(t *testing.T) {
	fd := benchFile(t)
	for _, size := range []int{4 << 10, 256 << 10, 1 << 20} { // the larger reads are spliced
		buf := aligned(t, size)
		off := int64(0)
		for name, io := range map[string]func(int, []byte, int64) (int, error){"read": unix.Pread, "write": unix.Pwrite} {
			once := func() {
				off = (off + int64(size)) % (64 << 20)
				if n, err := io(fd, buf, off); n != size || err != nil {
					t.Fatal(n, err)
				}
			}
			for range 200 {
				once() // what is pooled is made
			}
			if n := testing.AllocsPerRun(500, once); n != 0 {
				t.Errorf("a %s of %d bytes allocates %v times", name, size, n)
			}
		}
	}
}
