package ninep_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/test/lab"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/stream"
)

// dialTCP dials a server of package lab.
func dialTCP(t *testing.T, server *lab.Server) func(context.Context) (transport.Conn, error) {
	t.Helper()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context) (transport.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", u.Host)
		if err != nil {
			return nil, err
		}
		return stream.New(c, stream.Options{}), nil
	}
}

// ctx is a context that ends the test rather than let it hang.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func openDiod(t *testing.T) (*ninep.Session, *ninep.Fid, string) {
	t.Helper()
	dir := t.TempDir()
	server := lab.Diod(t, dir)
	s, err := ninep.Open(testContext(t), ninep.Config{Dial: dialTCP(t, server)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	root, err := s.Attach(testContext(t), ninep.AttachOptions{Aname: dir})
	if err != nil {
		t.Fatal(err)
	}
	return s, root, dir
}

// TestDiodFile writes and reads a file larger than many messages of diod's 64 KiB.
func TestDiodFile(t *testing.T) {
	s, root, dir := openDiod(t)
	ctx := testContext(t)
	f := must(root.Walk(ctx))(t)
	ok(t, f.Create(ctx, "file", unix.O_RDWR|unix.O_EXCL, 0o640, 0))
	want := pattern(5<<20 + 12345)
	if n, err := f.Write(ctx, want, 7); n != len(want) || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	ok(t, f.Fsync(ctx, false))
	got := make([]byte, len(want)+100)
	n, err := f.Read(ctx, got, 7)
	if n != len(want) || err != nil || !bytes.Equal(got[:n], want) {
		t.Fatalf("Read = %d, %v", n, err)
	}
	ok(t, f.Clunk(ctx))
	onDisk, err := os.ReadFile(filepath.Join(dir, "file"))
	if err != nil || !bytes.Equal(onDisk[7:], want) {
		t.Fatalf("on the server: %d bytes, %v", len(onDisk), err)
	}
	if m := s.Features().Msize; m != 64<<10 {
		t.Errorf("msize %d, diod's is 65536", m)
	}
}

// TestDiodFallbacks unlinks and renames on a server that knows neither Tunlinkat nor Trenameat.
func TestDiodFallbacks(t *testing.T) {
	s, root, dir := openDiod(t)
	ctx := testContext(t)
	must(root.Mkdir(ctx, "a", 0o755, 0))(t)
	must(root.Mkdir(ctx, "b", 0o755, 0))(t)
	a, b := must(root.Walk(ctx, "a"))(t), must(root.Walk(ctx, "b"))(t)
	must(a.Symlink(ctx, "link", "target", 0))(t)
	ok(t, a.Rename(ctx, "link", b, "moved"))
	if target, err := os.Readlink(filepath.Join(dir, "b", "moved")); target != "target" {
		t.Errorf("moved link: %q, %v", target, err)
	}
	if err := root.Unlink(ctx, "b", false); !errors.Is(err, unix.EISDIR) {
		t.Errorf("unlink a directory as a file: %v", err)
	}
	if err := b.Unlink(ctx, "moved", true); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("unlink a link as a directory: %v", err)
	}
	ok(t, b.Unlink(ctx, "moved", false))
	ok(t, root.Unlink(ctx, "b", true))
	if err := root.Unlink(ctx, "b", true); !errors.Is(err, unix.ENOENT) {
		t.Errorf("unlink it again: %v", err)
	}
	if f := s.Features(); f.Unlinkat != ninep.Unsupported || f.Renameat != ninep.Unsupported {
		t.Errorf("learned %+v", f)
	}
}

// TestDiodReconnect: diod takes a cut connection's fids and locks up again on the next one.
func TestDiodReconnect(t *testing.T) {
	dir := t.TempDir()
	server := lab.Diod(t, dir)
	dial := dialTCP(t, server)
	conns := make(chan transport.Conn, 10)
	s, err := ninep.Open(testContext(t), ninep.Config{Dial: func(ctx context.Context) (transport.Conn, error) {
		c, err := dial(ctx)
		if err == nil {
			conns <- c
		}
		return c, err
	}})
	ok(t, err)
	t.Cleanup(func() { _ = s.Close() })
	ctx := testContext(t)
	root := must(s.Attach(ctx, ninep.AttachOptions{Aname: dir}))(t)
	must(root.Mkdir(ctx, "d", 0o755, 0))(t)
	f := must(root.Walk(ctx, "d"))(t)
	ok(t, f.Create(ctx, "f", unix.O_RDWR, 0o600, 0))
	lockIs(t, f, ninep.Lock{Type: ninep.WriteLock, ProcID: 1}, ninep.LockSuccess)
	_ = (<-conns).Close()
	if n, err := f.Write(ctx, []byte("content"), 0); n != 7 || err != nil {
		t.Errorf("Write = %d, %v", n, err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "d", "f")); string(got) != "content" {
		t.Errorf("%q, %v", got, err)
	}
	other, err := ninep.Open(ctx, ninep.Config{Dial: dial})
	ok(t, err)
	t.Cleanup(func() { _ = other.Close() })
	theirs := must(must(other.Attach(ctx, ninep.AttachOptions{Aname: dir}))(t).Walk(ctx, "d", "f"))(t)
	ok(t, theirs.Open(ctx, unix.O_RDWR))
	lockIs(t, theirs, ninep.Lock{Type: ninep.WriteLock, ProcID: 1}, ninep.LockBlocked)
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must returns the value of a call that may not fail.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// pattern is n bytes none of which equals one a message away.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>16 ^ i>>8 ^ i*7)
	}
	return b
}

// replied is a Completer that a test waits on.
type replied chan struct{}

func (r replied) Complete(*transport.Call) { r <- struct{}{} }

// TestDiodAnswersProbe: diod answers the Tflush of no request.
func TestDiodAnswersProbe(t *testing.T) {
	conn := must(dialTCP(t, lab.Diod(t, t.TempDir()))(testContext(t)))(t)
	for _, c := range []struct {
		tag    uint16
		m      ninep.Message
		answer ninep.MsgType
	}{
		{ninep.NoTag, &ninep.Tversion{Msize: 64 << 10, Version: ninep.Version}, ninep.TypeRversion},
		{0, &ninep.Tflush{OldTag: ninep.NoTag}, ninep.TypeRflush},
	} {
		done := make(replied, 1)
		call := transport.Call{Tag: c.tag, Head: frame(t, c.tag, c.m), Reply: make([]byte, 64), Done: done}
		conn.Submit(&call)
		<-done
		if _, m, err := ninep.Decode(call.Reply); call.Err != nil || err != nil || m.Type() != c.answer {
			t.Errorf("%v: %x, %v, %v", c.m.Type(), call.Reply, call.Err, err)
		}
	}
	ok(t, conn.Close())
	<-conn.Lost()
}

// diod says of every attribute that is asked for that it is valid. That must not pass for our server's mark: diod crashes of
// messages that do not wait for each other.
func TestDiodIsNotInOrder(t *testing.T) {
	s, root, _ := openDiod(t)
	if _, err := root.Getattr(testContext(t), ninep.AttrAll); err != nil {
		t.Fatal(err)
	}
	if got := s.Features().InOrder; got != ninep.Unknown {
		t.Errorf("InOrder is %d", got)
	}
}
