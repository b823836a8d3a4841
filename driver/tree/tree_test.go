package tree_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/csi-9p/csi-9p/driver/tree"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/stream"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// attach exports a new directory and attaches to it, over connections that
// wrap makes of the real ones.
func attach(t *testing.T, wrap func(transport.Conn) transport.Conn) (root *ninep.Fid, dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := server.New(server.Options{Root: dir})
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "9p")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), listener) }()
	t.Cleanup(func() {
		s.Close()
		<-served
	})
	session, err := ninep.Open(t.Context(), ninep.Config{ReconnectTimeout: -1, Dial: func(ctx context.Context) (transport.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, err
		}
		return wrap(stream.New(conn, stream.Options{})), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	if root, err = session.Attach(t.Context(), ninep.AttachOptions{Aname: "/"}); err != nil {
		t.Fatal(err)
	}
	return root, dir
}

func plain(c transport.Conn) transport.Conn { return c }

func TestDir(t *testing.T) {
	root, dir := attach(t, plain)
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"a": nil, "link": unix.ENOTDIR, "none": unix.ENOENT} {
		fid, err := tree.Dir(t.Context(), root, name)
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
		if err == nil {
			fid.Drop()
		}
	}
	if _, err := tree.Down(t.Context(), root, "link", "b"); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("through a symlink: got %v", err)
	}
	for range 2 {
		fid, err := tree.MakeAll(t.Context(), root, 0o750, "a", "b", "c", "d")
		if err != nil {
			t.Fatal(err)
		}
		fid.Drop()
	}
	for name, mode := range map[string]os.FileMode{"a/b": 0o755, "a/b/c": 0o750, "a/b/c/d": 0o750} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: got %v, %v", name, info, err)
		}
	}
}

// tunlinkat and rlerror are message types of 9P2000.L.
const (
	tunlinkat = 76
	rlerror   = 7
)

// stubborn is a connection to a server where nothing can be removed because it
// is a directory whenever it is taken for a file.
type stubborn struct{ transport.Conn }

func (s stubborn) Submit(c *transport.Call) {
	if c.Head[4] != tunlinkat {
		s.Conn.Submit(c)
		return
	}
	reply := binary.LittleEndian.AppendUint32(c.Reply[:0], 11)
	reply = append(reply, rlerror)
	reply = binary.LittleEndian.AppendUint16(reply, c.Tag)
	c.Reply = binary.LittleEndian.AppendUint32(reply, uint32(unix.EISDIR))
	go c.Done.Complete(c)
}

// A tree that does not get empty is given up.
func TestEmptyGivesUp(t *testing.T) {
	root, dir := attach(t, func(c transport.Conn) transport.Conn { return stubborn{c} })
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tree.Empty(t.Context(), root); !errors.Is(err, tree.ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
}

func TestEmptyIsCancelled(t *testing.T) {
	root, dir := attach(t, plain)
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tree.Empty(ctx, root); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
}

// weighed is a connection that weighs the heap in the middle of a removal.
type weighed struct {
	transport.Conn
	removals *atomic.Int64
	at       int64
	heap     *atomic.Uint64
}

func (w weighed) Submit(c *transport.Call) {
	if c.Head[4] == tunlinkat && w.removals.Add(1) == w.at {
		w.heap.Store(heap())
	}
	w.Conn.Submit(c)
}

// heap is what is in use, in bytes.
func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// fill makes so many entries: links, which are made faster than files, and of which a file has 65000 at most on ext4.
func fill(t *testing.T, dir string, entries int) {
	t.Helper()
	var file string
	for i := range entries {
		name := filepath.Join(dir, strconv.Itoa(i))
		var err error
		if i%50_000 == 0 {
			file, err = name, os.WriteFile(name, nil, 0o600)
		} else {
			err = os.Link(file, name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// However many entries a directory has, a few are in memory.
func TestEmptyManyEntries(t *testing.T) {
	const entries, most = 100_000, 2 << 20
	var removals atomic.Int64
	var during atomic.Uint64
	root, dir := attach(t, func(c transport.Conn) transport.Conn { return weighed{c, &removals, entries / 2, &during} })
	fill(t, dir, entries)
	before := heap()
	if err := tree.Empty(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%d entries are left, %v", len(left), err)
	}
	if removals.Load() != entries {
		t.Errorf("%d entries took %d removals", entries, removals.Load())
	}
	if grown := int64(during.Load()) - int64(before); grown > most {
		t.Errorf("in the middle %d bytes more were in use than before, over %d", grown, most)
	}
}
