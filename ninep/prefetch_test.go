package ninep_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// TestPrefetch: what a read that goes out with an open brings, or behind it where the server is not known to keep messages in order,
// and that it is over once, whatever becomes of the open.
func TestPrefetch(t *testing.T) {
	t.Run("in order", func(t *testing.T) { testPrefetch(t, true) })
	t.Run("in turn", func(t *testing.T) { testPrefetch(t, false) })
}

func testPrefetch(t *testing.T, inOrder bool) {
	g := newGate(t)
	content := pattern(5000)
	ok(t, os.WriteFile(filepath.Join(g.root, "file"), content, 0o600))
	ctx := testContext(t)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, c := range []struct {
		what, name string
		ctx        context.Context
		ask, want  int // -1: an error
		err        error
	}{
		{"all", "file", ctx, 5000, 5000, nil},
		{"more than there is", "file", ctx, 6000, 5000, nil},
		{"the beginning", "file", ctx, 10, 10, nil},
		{"more than a message holds", "file", ctx, 1 << 20, -1, nil},
		{"a missing file", "nope", ctx, 10, -1, unix.ENOENT},
		{"a name that is none", "a/b", ctx, 10, -1, unix.EINVAL},
		{"cancelled", "file", ended, 10, -1, context.Canceled},
	} {
		_, root := g.open(ninep.Config{Msize: 64 << 10})
		if inOrder {
			_, err := root.Getattr(ctx, ninep.AttrBasic) // tells that the server does
			ok(t, err)
		}
		done := make(chan int, 2)
		p := &ninep.Prefetch{Buf: make([]byte, c.ask), Done: func(n int, err error) {
			if err != nil {
				n = -1
			}
			done <- n
		}}
		f, _, err := root.WalkOpen(c.ctx, c.name, unix.O_RDONLY, &ninep.OpenHints{Prefetch: p})
		if !errors.Is(err, c.err) {
			t.Errorf("%s: open: %v, want %v", c.what, err, c.err)
		}
		if n := <-done; n != c.want || n > 0 && !bytes.Equal(p.Buf[:n], content[:n]) {
			t.Errorf("%s: read %d, want %d", c.what, n, c.want)
		}
		if err == nil {
			ok(t, f.Clunk(ctx))
		}
		if len(done) > 0 {
			t.Errorf("%s: told twice", c.what)
		}
	}
}

// TestKnownEnd: a read that stops short where the caller knows the file to end asks no more, and goes on anywhere else.
func TestKnownEnd(t *testing.T) {
	content := pattern(1000)
	s, root := openScripted(t, func(_ uint16, m ninep.Message) any {
		if m, is := m.(*ninep.Tread); is {
			rest := content[min(m.Offset, uint64(len(content))):]
			return &ninep.Rread{Data: rest[:min(len(rest), int(m.Count), 500)]}
		}
		return pass
	})
	reads := func() (n uint64) {
		for _, c := range s.Stats().Calls {
			if c.Type == ninep.TypeTread {
				n = c.Latency.Count()
			}
		}
		return n
	}
	for _, c := range []struct {
		end   int64
		reads uint64
	}{{0, 3}, {1000, 2}, {700, 3}, {2000, 3}} {
		before := reads()
		done := make(chan struct{})
		io := &ninep.IO{Buf: make([]byte, 4096), End: c.end, Done: func(*ninep.IO) { close(done) }}
		root.StartRead(io)
		<-done
		if io.N != 1000 || io.Err != nil || !bytes.Equal(io.Buf[:1000], content) {
			t.Errorf("end %d: %d, %v", c.end, io.N, io.Err)
		}
		if n := reads() - before; n != c.reads {
			t.Errorf("end %d: %d Tread, want %d", c.end, n, c.reads)
		}
	}
}
