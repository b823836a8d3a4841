package fuse_test

import (
	"fmt"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/fuse"
)

// The benchmarks measure a server that answers at once, from memory, so they show what this package and the kernel cost.

func benchMount(b *testing.B) *mounted {
	fs := newMemFS(b)
	fs.add("data", nil).size = 1 << 30
	fs.setTake(func(r *fuse.Request) bool {
		if r.Opcode() != fuse.OpWrite {
			return false
		}
		r.ReplyWrite(fuse.In[fuse.WriteIn](r).Size)
		return true
	})
	return mount(b, fs, fuse.Config{})
}

// cpuTime is the processor time of this process in microseconds.
func cpuTime(b *testing.B) float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e3
}

// benchClient measures b.N operations of a client process, and what each costs this one, the server.
func benchClient(b *testing.B, role string, args ...string) {
	cmd := client(b, role, append(args, strconv.Itoa(b.N))...)
	before := cpuTime(b)
	b.ResetTimer()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	b.ReportMetric((cpuTime(b)-before)/float64(b.N), "server-us/op")
}

func BenchmarkClientRead(b *testing.B) {
	for _, size := range []int{4 << 10, 128 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			m := benchMount(b)
			b.SetBytes(int64(size))
			benchClient(b, "pread", m.path("data"), strconv.Itoa(size))
		})
	}
}

func BenchmarkClientStat(b *testing.B) {
	m := benchMount(b)
	benchClient(b, "stat", m.path("data"))
}

// The following have client and server in one process, for -benchmem.

func BenchmarkRead(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			m := benchMount(b)
			fd := open(b, m.path("data"), unix.O_RDONLY|unix.O_DIRECT)
			buf := aligned(b, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if n, err := unix.Pread(fd, buf, 0); n != size || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			m := benchMount(b)
			fd := open(b, m.path("data"), unix.O_WRONLY|unix.O_DIRECT)
			buf := aligned(b, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if n, err := unix.Pwrite(fd, buf, 0); n != size || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

func BenchmarkGetattr(b *testing.B) {
	m := benchMount(b)
	fd := open(b, m.path("data"), unix.O_RDONLY)
	var st unix.Stat_t
	b.ReportAllocs()
	for b.Loop() {
		if err := unix.Fstat(fd, &st); err != nil {
			b.Fatal(err)
		}
	}
}
