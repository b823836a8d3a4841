package ninefs_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/lab"
)

// benchFile is a file of 64 MiB on a mount of diod, whose process's allocations are not ours, open for direct I/O.
func benchFile(t testing.TB) int {
	lab.NeedRoot(t)
	m := mount(t, diod(t))
	fd, err := unix.Open(m.path("f"), unix.O_CREAT|unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0o600)
	check(t, err)
	t.Cleanup(func() { check(t, unix.Close(fd)) })
	check(t, unix.Ftruncate(fd, 64<<20))
	return fd
}

func benchIO(b *testing.B, size int, io func(int, []byte, int64) (int, error)) {
	fd := benchFile(b)
	buf := aligned(b, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if n, err := io(fd, buf, int64(i)*int64(size)%(64<<20)); n != size || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkRead4K(b *testing.B)  { benchIO(b, 4<<10, unix.Pread) }
func BenchmarkRead1M(b *testing.B)  { benchIO(b, 1<<20, unix.Pread) }
func BenchmarkWrite4K(b *testing.B) { benchIO(b, 4<<10, unix.Pwrite) }
func BenchmarkWrite1M(b *testing.B) { benchIO(b, 1<<20, unix.Pwrite) }
