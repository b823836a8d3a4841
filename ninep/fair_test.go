package ninep_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/stream"
)

// BenchmarkSmallReadsUnderStreams is the latency of one volume's reads of 4 KiB while another volume of the session streams, and
// without that in the same rounds.
func BenchmarkSmallReadsUnderStreams(b *testing.B) {
	for _, network := range []string{"unix", "tcp"} {
		for _, kind := range []string{"read", "write"} {
			b.Run(fmt.Sprintf("%s/%s", network, kind), func(b *testing.B) { smallReadsUnderStreams(b, network, kind == "write") })
		}
	}
}

func smallReadsUnderStreams(b *testing.B, network string, write bool) {
	const area, inFlight, limit = 64 << 20, 16, 16 << 20
	session := serveFiles(b, network)
	open := func(name string) *ninep.Fid {
		f, err := session.Attach(context.Background(), ninep.AttachOptions{Aname: "/", Flow: transport.NewFlow(limit)})
		if err == nil {
			err = f.Create(context.Background(), name, unix.O_RDWR|unix.O_CREAT, 0o600, ninep.NoUID)
		}
		if err != nil {
			b.Fatal(err)
		}
		if _, err := f.Write(context.Background(), make([]byte, area), 0); err != nil {
			b.Fatal(err)
		}
		return f
	}
	small, large := open("small"), open("large")
	page := make([]byte, 4<<10)
	read := func(n int) []time.Duration {
		took := make([]time.Duration, n)
		for i := range took {
			start := time.Now()
			if _, err := small.Read(context.Background(), page, int64(i*len(page)%area)); err != nil {
				b.Fatal(err)
			}
			took[i] = time.Since(start)
		}
		return took
	}
	var alone, under []time.Duration
	moved, elapsed := int64(0), time.Duration(0)
	for b.Loop() {
		alone = append(alone, read(100)...)
		stop := startStream(large, inFlight, write)
		start := time.Now()
		under = append(under, read(100)...)
		elapsed += time.Since(start)
		moved += stop()
	}
	for name, took := range map[string][]time.Duration{"alone": alone, "under": under} {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds()), "us-"+name+"-p50")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "us-"+name+"-p99")
	}
	b.ReportMetric(float64(moved)/1e6/elapsed.Seconds(), "stream-MB/s")
}

// startStream keeps so many messages of 1 MiB in flight until it is stopped, which returns how many bytes they moved.
func startStream(f *ninep.Fid, inFlight int, write bool) (stop func() int64) {
	ctx, cancel := context.WithCancel(context.Background())
	moved := make(chan int64)
	for i := range inFlight {
		go func() {
			buf, sum := make([]byte, 1<<20), int64(0)
			move := f.Read
			if write {
				move = f.Write
			}
			for ctx.Err() == nil {
				n, err := move(context.Background(), buf, int64(i)<<20)
				if err != nil {
					break
				}
				sum += int64(n)
			}
			moved <- sum
		}()
	}
	return func() (sum int64) {
		cancel()
		for range inFlight {
			sum += <-moved
		}
		return sum
	}
}

// serveFiles opens a session with an exporter of an empty directory.
func serveFiles(tb testing.TB, network string) *ninep.Session {
	tb.Helper()
	return serveFilesBy(tb, network, ninep.Config{}, stream.Options{})
}

func serveFilesBy(tb testing.TB, network string, config ninep.Config, o stream.Options) *ninep.Session {
	tb.Helper()
	dir, err := os.MkdirTemp("", "fair")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	address := map[string]string{"unix": filepath.Join(dir, "socket"), "tcp": "127.0.0.1:0"}[network]
	listener, err := net.Listen(network, address)
	if err != nil {
		tb.Fatal(err)
	}
	exporter, err := server.New(server.Options{Root: dir})
	if err != nil {
		tb.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- exporter.Serve(context.Background(), listener) }()
	tb.Cleanup(func() { _ = exporter.Close(); <-served })
	config.Dial = func(ctx context.Context) (transport.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, listener.Addr().String())
		if err != nil {
			return nil, err
		}
		return stream.New(conn, o), nil
	}
	s, err := ninep.Open(context.Background(), config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}
