package ninefs_test

import (
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/ninefs"
	"github.com/csi-9p/csi-9p/test/lab"
)

// messages counts what a session sends until the function that it returns is called, but for Tclunk, which nobody waits for.
func (m *mounted) messages() func() map[string]uint64 {
	count := func() map[string]uint64 {
		n := map[string]uint64{}
		for _, c := range m.session.Stats().Calls {
			if c.Type != ninep.TypeTclunk {
				n[c.Type.String()] = c.Latency.Count() + c.Unanswered
			}
		}
		return n
	}
	before := count()
	return func() map[string]uint64 {
		after := count()
		maps.DeleteFunc(after, func(kind string, n uint64) bool { return n == before[kind] })
		for kind := range after {
			after[kind] -= before[kind]
		}
		return after
	}
}

// TestMessages: what a system call asks the server.
func TestMessages(t *testing.T) {
	noLeak(t)
	s := exporter(t)
	check(t, os.Mkdir(filepath.Join(s.root, "dir"), 0o755))
	const files = 100
	for i := range files {
		write(t, filepath.Join(s.root, "dir", fmt.Sprint(i)), "content")
	}
	long := func(o *ninefs.Options) { o.AttrTimeout = time.Hour }
	m := mount(t, s, long)
	in := func(name string) string { return m.path("dir/" + name) }
	stat(t, m.path("dir"))
	missing := func(m *mounted) func() {
		return func() { wantErr(t, unix.Lstat(m.path("missing"), &unix.Stat_t{}), unix.ENOENT) }
	}
	kept := mount(t, s, loose)
	for _, c := range []struct {
		name string
		m    *mounted
		call func()
		want map[string]uint64 // at most
	}{
		{"stat", m, func() { stat(t, in("0")) }, map[string]uint64{"Twalk": 1, "Tgetattr": 1}},
		{"stat again", m, func() { stat(t, in("0")) }, map[string]uint64{}},
		{"open", m, func() { check(t, unix.Close(openFor(t, in("0"), unix.O_RDONLY))) }, map[string]uint64{"Twalk": 1, "Tgetattr": 1, "Tlopen": 1}},
		{"ls -l", m, func() {
			entries, err := os.ReadDir(m.path("dir"))
			check(t, err)
			for _, e := range entries {
				_, err := e.Info()
				check(t, err)
			}
		}, map[string]uint64{"Twalk": 2*files + 1, "Tgetattr": 2 * files, "Tlopen": 1, "Treaddir": 3}}, // what does not fit is asked for again
		{"create", m, func() { check(t, unix.Close(openFor(t, in("new"), unix.O_WRONLY|unix.O_CREAT))) },
			map[string]uint64{"Twalk": 3, "Tlcreate": 1, "Tgetattr": 3}}, // LOOKUP before it, and the directory's permissions
		{"chmod of what was created", m, func() { check(t, unix.Chmod(in("new"), 0o600)) }, map[string]uint64{"Tsetattr": 1, "Tgetattr": 2}},
		{"a missing name", m, missing(m), map[string]uint64{"Twalk": 1, "Tgetattr": 1}},
		{"a missing name again", m, missing(m), map[string]uint64{"Twalk": 1, "Tgetattr": 1}},
		{"a missing name in loose", kept, missing(kept), map[string]uint64{"Twalk": 1, "Tgetattr": 2}},
		{"a missing name again in loose", kept, missing(kept), map[string]uint64{}},
	} {
		asked := c.m.messages()
		c.call()
		got := asked()
		for kind, n := range got {
			if n > c.want[kind] {
				t.Errorf("%s: %v, want at most %v", c.name, got, c.want)
				break
			}
		}
	}
}

// distant is a share whose server is so far away that an answer takes rtt.
func distant(t testing.TB, s share, rtt time.Duration) share {
	t.Helper()
	return between(t, s, func(client, server net.Conn) {
		var asking sync.WaitGroup
		asking.Go(func() { delay(server, client, rtt/2) })
		delay(client, server, rtt/2)
		asking.Wait()
	})
}

// delay copies what comes, each piece that much later.
func delay(to io.WriteCloser, from io.Reader, by time.Duration) {
	type piece struct {
		due  time.Time
		data []byte
	}
	pieces := make(chan piece, 1000)
	var sending sync.WaitGroup
	sending.Go(func() {
		for p := range pieces {
			time.Sleep(time.Until(p.due))
			_, _ = to.Write(p.data) // an end is told from the other side as well
		}
		_ = to.Close()
	})
	buf := make([]byte, 256<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			break
		}
		pieces <- piece{time.Now().Add(by), append([]byte(nil), buf[:n]...)}
	}
	close(pieces)
	sending.Wait()
}

// BenchmarkDistance tells in round trips what system calls wait for a server 5 ms away, where attributes are cached: ours, and one of
// which it is not known whether it keeps the order of messages.
func BenchmarkDistance(b *testing.B) {
	const rtt = 5 * time.Millisecond
	lab.NeedRoot(b)
	for name, far := range map[string]func(share) share{
		"in order": func(s share) share { return distant(b, s, rtt) },
		"in turn":  func(s share) share { return distant(b, poorQIDs(b, s), rtt) },
	} {
		s := exporter(b)
		check(b, os.Mkdir(filepath.Join(s.root, "dir"), 0o755))
		for i := range 100 {
			write(b, filepath.Join(s.root, "dir", fmt.Sprint(i)), "content")
		}
		m := mount(b, far(s), func(o *ninefs.Options) { o.AttrTimeout = time.Hour })
		names := 0
		for call, do := range map[string]func() error{
			"stat a new name": func() error {
				names++
				if err := os.WriteFile(filepath.Join(s.root, fmt.Sprint(names)), nil, 0o600); err != nil {
					return err
				}
				return unix.Lstat(m.path(fmt.Sprint(names)), &unix.Stat_t{})
			},
			"open": func() error {
				fd, err := unix.Open(m.path("dir/1"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
				if err != nil {
					return err
				}
				return unix.Close(fd)
			},
			"create": func() error {
				names++
				fd, err := unix.Open(m.path(fmt.Sprint("dir/new-", names)), unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
				if err != nil {
					return err
				}
				return unix.Close(fd)
			},
			"list 100": func() error {
				_, err := os.ReadDir(m.path("dir"))
				return err
			},
		} {
			b.Run(name+"/"+call, func(b *testing.B) {
				start := time.Now()
				for range b.N {
					check(b, do())
				}
				b.ReportMetric(float64(time.Since(start))/float64(rtt)/float64(b.N), "rtt/op")
			})
		}
	}
}
