package ninep_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// TestReconnectGoesOn cuts the connection again and again under readers and writers: nobody sees an error or a wrong
// byte.
func TestReconnectGoesOn(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{Msize: 16 << 10})
	ctx := testContext(t)
	stop := make(chan struct{})
	var workers sync.WaitGroup
	for w := range 4 {
		f := must(root.Walk(ctx))(t)
		ok(t, f.Create(ctx, fmt.Sprint("file", w), unix.O_RDWR, 0o644, 0))
		workers.Go(func() {
			for round := 0; ; round++ {
				want := bytes.Repeat([]byte{byte(round), byte(w)}, 40<<10)
				if n, err := f.Write(ctx, want, 5); n != len(want) || err != nil {
					t.Errorf("Write = %d, %v", n, err)
					return
				}
				got := make([]byte, len(want))
				if n, err := f.Read(ctx, got, 5); n != len(want) || err != nil || !bytes.Equal(got, want) {
					t.Errorf("Read = %d, %v", n, err)
					return
				}
				if a, err := f.Getattr(ctx, ninep.AttrSize); err != nil || a.Size != uint64(5+len(want)) {
					t.Errorf("Getattr = %d, %v", a.Size, err)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for n := uint64(1); n <= 8; n++ {
		g.cut()
		eventually(t, "a reconnect", func() bool { return s.Status().Reconnects >= n })
	}
	close(stop)
	workers.Wait()
	if st := s.Status(); !st.Connected || st.Err != nil {
		t.Errorf("status %+v", st)
	}
}

// TestReconnectStale: a file that another one has replaced, or that is gone, is ESTALE, and only that one.
func TestReconnectStale(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{})
	ctx := testContext(t)
	var fids []*ninep.Fid
	for _, name := range []string{"kept", "replaced", "gone"} {
		f := must(root.Walk(ctx))(t)
		ok(t, f.Create(ctx, name, unix.O_RDWR, 0o644, 0))
		fids = append(fids, f)
	}
	g.kill()
	// The old file lives on beside the new one, or the new one may get its inode number.
	ok(t, os.Rename(filepath.Join(g.root, "replaced"), filepath.Join(g.root, "elsewhere")))
	ok(t, os.WriteFile(filepath.Join(g.root, "replaced"), []byte("new"), 0o600))
	ok(t, os.Remove(filepath.Join(g.root, "gone")))
	g.revive()
	if _, err := fids[0].Getattr(ctx, ninep.AttrBasic); err != nil {
		t.Errorf("kept: %v", err)
	}
	if n := s.Stats().Spoiled; n != 2 {
		t.Errorf("%d fids counted as spoiled", n)
	}
	for _, f := range fids[1:] {
		if _, err := f.Write(ctx, []byte("x"), 0); !errors.Is(err, unix.ESTALE) {
			t.Errorf("write to %s: %v", f.Path(), err)
		}
		if _, err := f.Getattr(ctx, ninep.AttrBasic); !errors.Is(err, unix.ESTALE) {
			t.Errorf("getattr of %s: %v", f.Path(), err)
		}
		ok(t, f.Clunk(ctx))
	}
}

// TestReconnectFollowsRenames: fids are found again where this client moved them to, also below a moved directory.
func TestReconnectFollowsRenames(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{})
	ctx := testContext(t)
	must(root.Mkdir(ctx, "a", 0o755, 0))(t)
	must(root.Mkdir(ctx, "b", 0o755, 0))(t)
	a, b := must(root.Walk(ctx, "a"))(t), must(root.Walk(ctx, "b"))(t)
	must(a.Mkdir(ctx, "dir", 0o755, 0))(t)
	f := must(a.Walk(ctx, "dir"))(t)
	ok(t, f.Create(ctx, "file", unix.O_RDWR, 0o644, 0))
	replaced := must(b.Walk(ctx))(t)
	ok(t, replaced.Create(ctx, "target", unix.O_RDWR, 0o644, 0))

	ok(t, a.Rename(ctx, "dir", b, "moved"))
	moved := must(b.Walk(ctx, "moved"))(t)
	ok(t, moved.Rename(ctx, "file", b, "target"))
	if f.Path() != "/b/target" {
		t.Errorf("path %s", f.Path())
	}
	g.cut()
	eventually(t, "a reconnect", func() bool { return s.Status().Reconnects == 1 })
	if _, err := f.Write(ctx, []byte("content"), 0); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(filepath.Join(g.root, "b", "target")); string(got) != "content" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := replaced.Getattr(ctx, ninep.AttrBasic); !errors.Is(err, unix.ESTALE) {
		t.Errorf("the file that was replaced: %v", err)
	}
}

// TestReconnectAmbiguous loses the answers to messages that must not be done twice.
func TestReconnectAmbiguous(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{})
	ctx := testContext(t)
	ok(t, os.Mkdir(filepath.Join(g.root, "dir"), 0o755))
	for _, name := range []string{"old", "doomed", "dir/opened"} {
		ok(t, os.WriteFile(filepath.Join(g.root, name), nil, 0o600))
	}
	target, dir := must(root.Walk(ctx, "dir", "opened"))(t), must(root.Walk(ctx, "dir"))(t)
	created := must(root.Walk(ctx))(t)
	g.intercept(func(_ *pair, _ uint16, m ninep.Message) bool {
		if o, ok := m.(*ninep.Tlopen); ok && o.Flags&(ninep.OpenCreate|ninep.OpenExcl|ninep.OpenTrunc) != 0 {
			t.Errorf("opened again with flags %o", o.Flags)
		}
		return true
	})
	for _, step := range []struct {
		reply ninep.MsgType
		do    func() error
	}{
		{ninep.TypeRmkdir, func() error { _, err := root.Mkdir(ctx, "new", 0o755, 0); return err }},
		{ninep.TypeRsymlink, func() error { _, err := root.Symlink(ctx, "link", "x", 0); return err }},
		{ninep.TypeRmknod, func() error { _, err := root.Mknod(ctx, "fifo", unix.S_IFIFO|0o600, 0, 0, 0); return err }},
		{ninep.TypeRlink, func() error { return root.Link(ctx, target, "hard") }},
		{ninep.TypeRunlinkat, func() error { return root.Unlink(ctx, "doomed", false) }},
		{ninep.TypeRrenameat, func() error { return dir.Rename(ctx, "opened", root, "moved") }},
		{ninep.TypeRlcreate, func() error { return created.Create(ctx, "made", unix.O_RDWR|unix.O_EXCL, 0o600, 0) }},
	} {
		before := s.Status().Reconnects
		g.interceptReplies(func(_ *pair, _ uint16, m ninep.Message) bool {
			if m.Type() != step.reply {
				return true
			}
			g.interceptReplies(nil)
			go g.cut()
			return false
		})
		if err := step.do(); err != nil {
			t.Errorf("%v lost: %v", step.reply, err)
		}
		if s.Status().Reconnects != before+1 {
			t.Errorf("%v was not lost", step.reply)
		}
	}
	if _, err := created.Write(ctx, []byte("x"), 0); err != nil {
		t.Errorf("write to the file created: %v", err)
	}
	if _, err := target.Getattr(ctx, ninep.AttrBasic); err != nil {
		t.Errorf("the fid of the file renamed meanwhile: %v", err)
	}
	for name, want := range map[string]bool{
		"new": true, "link": true, "fifo": true, "hard": true, "doomed": false, "dir/opened": false, "moved": true, "made": true,
	} {
		if _, err := os.Lstat(filepath.Join(g.root, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLostTimeouts: how long calls wait for a lost server.
func TestLostTimeouts(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{ReconnectTimeout: 50 * time.Millisecond})
	ctx := testContext(t)
	f := must(root.Walk(ctx))(t)
	ok(t, f.Create(ctx, "f", unix.O_RDWR, 0o600, 0))
	g.kill()
	lost := func(err error) {
		t.Helper()
		if !errors.Is(err, ninep.ErrLost) || !errors.Is(err, unix.EIO) {
			t.Errorf("error %v", err)
		}
	}
	_, err := root.Getattr(ctx, ninep.AttrBasic)
	lost(err)
	_, err = f.Write(ctx, []byte("x"), 0)
	lost(err)
	if st := s.Status(); st.Connected || st.Err == nil || st.Since.IsZero() {
		t.Errorf("status %+v", st)
	}
	ok(t, root.Clunk(ctx))
	done := make(chan *ninep.IO, 1)
	patient := &ninep.IO{Buf: []byte("later"), Done: func(io *ninep.IO) { done <- io }, LostTimeout: time.Minute}
	f.StartWrite(patient)
	hasty := &ninep.IO{Buf: []byte("now"), Done: func(io *ninep.IO) { lost(io.Err); done <- io }, LostTimeout: -1}
	f.StartWrite(hasty)
	if <-done != hasty {
		t.Error("the write that would wait came first")
	}
	g.revive()
	if io := <-done; io.Err != nil || io.N != 5 {
		t.Errorf("the write that waited: %d, %v", io.N, io.Err)
	}
	if got, err := os.ReadFile(filepath.Join(g.root, "f")); string(got) != "later" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestSetReconnectTimeout: what is set last counts, while the server is lost too.
func TestSetReconnectTimeout(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{ReconnectTimeout: 50 * time.Millisecond})
	ctx := testContext(t)
	s.SetReconnectTimeout(time.Minute)
	g.kill()
	time.AfterFunc(200*time.Millisecond, g.revive)
	if _, err := root.Getattr(ctx, ninep.AttrBasic); err != nil {
		t.Errorf("a call that waits longer: %v", err)
	}
	g.kill()
	eventually(t, "the loss", func() bool { return !s.Status().Connected })
	s.SetReconnectTimeout(-1)
	if _, err := root.Getattr(ctx, ninep.AttrBasic); !errors.Is(err, ninep.ErrLost) {
		t.Errorf("a call that does not wait: %v", err)
	}
}

// TestCancelWhileLost: contexts and IO.Cancel end the wait for a lost server.
func TestCancelWhileLost(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{})
	ctx := testContext(t)
	f := must(root.Walk(ctx))(t)
	ok(t, f.Create(ctx, "f", unix.O_RDWR, 0o600, 0))
	g.kill()
	eventually(t, "the loss", func() bool { return !s.Status().Connected })
	for name, call := range map[string]func(context.Context) error{
		"getattr": func(ctx context.Context) error { _, err := f.Getattr(ctx, ninep.AttrBasic); return err },
		"read":    func(ctx context.Context) error { _, err := f.Read(ctx, make([]byte, 10), 0); return err },
		"write":   func(ctx context.Context) error { _, err := f.Write(ctx, make([]byte, 10), 0); return err },
	} {
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		err := call(short)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, unix.EINTR) {
			t.Errorf("%s: %v", name, err)
		}
	}
	waiting := make(chan error, 2)
	go func() { _, err := f.Getattr(ctx, ninep.AttrBasic); waiting <- err }()
	go func() { _, err := f.Read(ctx, make([]byte, 10), 0); waiting <- err }()
	ok(t, s.Close())
	for range 2 {
		if err := <-waiting; !errors.Is(err, ninep.ErrClosed) {
			t.Errorf("a call on a closed session: %v", err)
		}
	}
}

// TestLostTimeoutOfOneIO: a write with a time-out of its own gives up while other calls go on waiting.
func TestLostTimeoutOfOneIO(t *testing.T) {
	g := newGate(t)
	_, root := g.open(ninep.Config{})
	ctx := testContext(t)
	f := must(root.Walk(ctx))(t)
	ok(t, f.Create(ctx, "f", unix.O_RDWR, 0o600, 0))
	h := g.hold(ninep.TypeTwrite)
	done := make(chan error, 2)
	start := func() {
		f.StartWrite(&ninep.IO{
			Buf: []byte("x"), LostTimeout: 30 * time.Millisecond, Done: func(io *ninep.IO) { done <- io.Err },
		})
	}
	start()
	eventually(t, "Twrite", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.tags) > 0 })
	waiting := make(chan error, 1)
	go func() { _, err := f.Getattr(ctx, ninep.AttrBasic); waiting <- err }()
	g.kill()
	start()
	for range 2 {
		if err := <-done; !errors.Is(err, ninep.ErrLost) || !errors.Is(err, unix.EIO) {
			t.Errorf("write: %v", err)
		}
	}
	g.intercept(nil)
	g.revive()
	ok(t, <-waiting)
}

// TestReconnectRefused: a tree that is gone is stale, and only that one; a server that has none of them yet is
// asked again.
func TestReconnectRefused(t *testing.T) {
	g := newGate(t)
	ok(t, os.Mkdir(filepath.Join(g.root, "a"), 0o755))
	ok(t, os.Mkdir(filepath.Join(g.root, "b"), 0o755))
	s, err := ninep.Open(testContext(t), ninep.Config{Dial: g.dial})
	ok(t, err)
	t.Cleanup(func() { _ = s.Close() })
	ctx := testContext(t)
	a := must(s.Attach(ctx, ninep.AttachOptions{Aname: "/a"}))(t)
	b := must(s.Attach(ctx, ninep.AttachOptions{Aname: "/b"}))(t)
	refuse := func(anames ...string) {
		g.intercept(func(p *pair, tag uint16, m ninep.Message) bool {
			if attach, ok := m.(*ninep.Tattach); ok && slices.Contains(anames, attach.Aname) {
				p.reply(tag, &ninep.Rlerror{Errno: uint32(unix.ENOENT)})
				return false
			}
			return true
		})
	}
	refuse("/a", "/b")
	g.cut()
	eventually(t, "the refusal", func() bool { st := s.Status(); return !st.Connected && errors.Is(st.Err, unix.ENOENT) })
	refuse("/a")
	if _, err := b.Getattr(ctx, ninep.AttrBasic); err != nil {
		t.Errorf("the tree that came back: %v", err)
	}
	if _, err := a.Getattr(ctx, ninep.AttrBasic); !errors.Is(err, unix.ESTALE) {
		t.Errorf("the tree that did not: %v", err)
	}
}

// TestReconnectWithoutRoom: a server that has no room yet for a second set of fids, because it has not noticed that the connection of
// the first is gone, is asked again, and no fid is given up.
func TestReconnectWithoutRoom(t *testing.T) {
	g := newGate(t)
	s, root := g.open(ninep.Config{})
	ctx := testContext(t)
	ok(t, os.Mkdir(filepath.Join(g.root, "dir"), 0o755))
	other := must(s.Attach(ctx, ninep.AttachOptions{Aname: "/dir"}))(t)
	f := must(root.Walk(ctx))(t)
	ok(t, f.Create(ctx, "f", unix.O_RDWR, 0o644, 0))
	var mu sync.Mutex
	refused := map[string]int{}
	g.intercept(func(p *pair, tag uint16, m ninep.Message) bool {
		request := m.Type().String()
		if attach, is := m.(*ninep.Tattach); is {
			request += " " + attach.Aname
		}
		switch m.(type) {
		case *ninep.Tattach, *ninep.Twalk, *ninep.Tlopen:
		default:
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		if refused[request]++; refused[request] > 3 {
			return true
		}
		p.reply(tag, &ninep.Rlerror{Errno: uint32(unix.ENFILE)})
		return false
	})
	g.cut()
	eventually(t, "a reconnect", func() bool { return s.Status().Reconnects == 1 })
	if _, err := f.Write(ctx, []byte("x"), 0); err != nil {
		t.Errorf("the open file: %v", err)
	}
	if _, err := other.Getattr(ctx, ninep.AttrBasic); err != nil {
		t.Errorf("the other tree: %v", err)
	}
	if n := s.Stats().Spoiled; n != 0 {
		t.Errorf("%d fids were given up", n)
	}
}
