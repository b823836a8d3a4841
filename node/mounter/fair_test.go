package mounter_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/node/nodetest"
	"golang.org/x/sys/unix"
)

// BenchmarkSmallReadsBesideAStream is the latency of direct reads of 4 KiB on one mount while another mount of the session
// reads 1 MiB at a time in 16 threads, and without that in the same rounds.
func BenchmarkSmallReadsBesideAStream(b *testing.B) {
	const area, threads = 64 << 20, 16
	e, m := nodetest.Export(b), nodetest.NewMounter(b)
	open := func(id string) int {
		if err := os.MkdirAll(filepath.Join(e.Root, id), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(e.Root, id, "f"), make([]byte, area), 0o644); err != nil {
			b.Fatal(err)
		}
		mnt := serve(b, m, spec(b, e, id, id))
		fd, err := unix.Open(filepath.Join(mnt.dir, "f"), unix.O_RDONLY|unix.O_DIRECT, 0)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = unix.Close(fd); mnt.unmount(b) })
		return fd
	}
	small, large := open("small"), open("large")
	read := func(fd int, into []byte, offset int64) {
		if n, err := unix.Pread(fd, into, offset); n != len(into) || err != nil {
			b.Errorf("read %d bytes: %v", n, err)
		}
	}
	page := make([]byte, 4<<10)
	var megabytes [threads][]byte
	for i := range megabytes {
		megabytes[i] = make([]byte, 1<<20)
		read(large, megabytes[i], int64(i)<<20)
	}
	times := func(n int) []time.Duration {
		took := make([]time.Duration, n)
		for i := range took {
			start := time.Now()
			read(small, page, int64(i%1000)<<12)
			took[i] = time.Since(start)
		}
		return took
	}
	var alone, beside []time.Duration
	var moved atomic.Int64
	var elapsed time.Duration
	for b.Loop() {
		alone = append(alone, times(100)...)
		ctx, stop := context.WithCancel(context.Background())
		var streams sync.WaitGroup
		for i := range threads {
			streams.Go(func() {
				for ctx.Err() == nil {
					read(large, megabytes[i], int64(i)<<20)
					moved.Add(1 << 20)
				}
			})
		}
		start := time.Now()
		beside = append(beside, times(500)...)
		elapsed += time.Since(start)
		stop()
		streams.Wait()
	}
	for name, took := range map[string][]time.Duration{"alone": alone, "beside": beside} {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds()), "us-"+name+"-p50")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "us-"+name+"-p99")
	}
	b.ReportMetric(float64(moved.Load())/1e6/elapsed.Seconds(), "stream-MB/s")
}
