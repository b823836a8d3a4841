package fuse_test

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/fuse"
)

// aligned returns n bytes of mapped memory, as O_DIRECT likes it.
func aligned(t testing.TB, n int) []byte {
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(mem) })
	return mem
}

func isAligned(b []byte) bool { return uintptr(unsafe.Pointer(unsafe.SliceData(b)))%4096 == 0 }

func benchMount(b *testing.B) *mounted {
	fs := newMemFS(b)
	fs.add("data", nil).size = 1 << 30
	return mount(b, fs, fuse.Config{})
}

func benchRead(b *testing.B, size int) {
	m := benchMount(b)
	fd := open(b, m.path("data"), unix.O_RDONLY|unix.O_DIRECT)
	buf := aligned(b, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if n, err := unix.Pread(fd, buf, int64(i%256)*int64(size)); n != size || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkRead4K(b *testing.B) { benchRead(b, 4<<10) }
func BenchmarkRead1M(b *testing.B) { benchRead(b, 1<<20) }

func benchWrite(b *testing.B, size int) {
	fs := newMemFS(b)
	fs.add("data", nil).size = 1 << 30
	fs.setTake(func(r *fuse.Request) bool {
		if r.Opcode() != fuse.OpWrite {
			return false
		}
		r.ReplyWrite(fuse.In[fuse.WriteIn](r).Size)
		return true
	})
	m := mount(b, fs, fuse.Config{})
	fd := open(b, m.path("data"), unix.O_WRONLY|unix.O_DIRECT)
	buf := aligned(b, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if n, err := unix.Pwrite(fd, buf, 0); n != size || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkWrite4K(b *testing.B) { benchWrite(b, 4<<10) }
func BenchmarkWrite1M(b *testing.B) { benchWrite(b, 1<<20) }

func BenchmarkStat(b *testing.B) {
	m := benchMount(b)
	path := m.path("data")
	b.ReportAllocs()
	for b.Loop() {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			b.Fatal(err)
		}
	}
}
