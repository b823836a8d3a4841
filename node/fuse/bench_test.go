package fuse_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/test/lab"
)

// The benchmarks measure a server that answers at once, from memory, so they show what this package and the kernel cost.

// benchLoops runs a benchmark on each loop.
func benchLoops(b *testing.B, bench func(b *testing.B, m *mounted)) {
	for name, on := range map[string]fuse.IOURing{"device": fuse.IOURingOff, "io_uring": fuse.IOURingRequire} {
		b.Run(name, func(b *testing.B) {
			if on != fuse.IOURingOff {
				lab.NeedIOURing(b)
			}
			bench(b, benchMount(b, on))
		})
	}
}

func benchMount(b *testing.B, on fuse.IOURing) *mounted {
	fs := newMemFS(b, on)
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

// answerElsewhere has READs answered on another goroutine, as those are that a server's reply completes.
func (m *mounted) answerElsewhere(b *testing.B) {
	reads := make(chan *fuse.Request, 64)
	m.fs.setTake(func(r *fuse.Request) bool {
		if r.Opcode() != fuse.OpRead {
			return false
		}
		reads <- r
		return true
	})
	var answering sync.WaitGroup
	answering.Go(func() {
		for r := range reads {
			data := r.Room()
			if data == nil {
				data = m.fs.zero
			}
			r.ReplyData(data[:fuse.In[fuse.ReadIn](r).Size])
		}
	})
	b.Cleanup(func() {
		m.fs.setTake(nil)
		close(reads)
		answering.Wait()
	})
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
	for _, c := range []struct{ size, threads int }{{4 << 10, 1}, {4 << 10, 4}, {4 << 10, 16}, {128 << 10, 1}, {1 << 20, 1}} {
		for _, elsewhere := range []bool{false, true} {
			b.Run(fmt.Sprintf("size=%d/threads=%d/elsewhere=%t", c.size, c.threads, elsewhere), func(b *testing.B) {
				benchLoops(b, func(b *testing.B, m *mounted) {
					if elsewhere {
						m.answerElsewhere(b)
					}
					b.SetBytes(int64(c.size))
					benchClient(b, "pread", m.path("data"), strconv.Itoa(c.size), strconv.Itoa(c.threads))
				})
			})
		}
	}
}

func BenchmarkClientStat(b *testing.B) {
	benchLoops(b, func(b *testing.B, m *mounted) { benchClient(b, "stat", m.path("data")) })
}

// The following have client and server in one process, for -benchmem.

func BenchmarkRead(b *testing.B) {
	benchSizes(b, func(fd int, buf []byte) (int, error) { return unix.Pread(fd, buf, 0) })
}

func BenchmarkWrite(b *testing.B) {
	benchSizes(b, func(fd int, buf []byte) (int, error) { return unix.Pwrite(fd, buf, 0) })
}

func benchSizes(b *testing.B, op func(fd int, buf []byte) (int, error)) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			benchLoops(b, func(b *testing.B, m *mounted) {
				fd := open(b, m.path("data"), unix.O_RDWR|unix.O_DIRECT)
				buf := aligned(b, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if n, err := op(fd, buf); n != size || err != nil {
						b.Fatal(n, err)
					}
				}
			})
		})
	}
}

func BenchmarkGetattr(b *testing.B) {
	benchLoops(b, func(b *testing.B, m *mounted) {
		fd := open(b, m.path("data"), unix.O_RDONLY)
		var st unix.Stat_t
		b.ReportAllocs()
		for b.Loop() {
			if err := unix.Fstat(fd, &st); err != nil {
				b.Fatal(err)
			}
		}
	})
}
