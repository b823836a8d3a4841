package mounter_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/nodetest"
)

// freezing is a way to an exporter that passes nothing on from the first message of a kind on, once there is one.
type freezing struct {
	url    string
	kind   atomic.Uint32
	frozen chan struct{} // closed by then

	deafTo    atomic.Uint32 // a kind that it swallows, and nothing else
	swallowed atomic.Int64  // how many of these

	listener net.Listener
	server   string
	once     sync.Once
	running  sync.WaitGroup
	ctx      context.Context
}

func freeze(t *testing.T, e *nodetest.Exporter) *freezing {
	t.Helper()
	path := filepath.Join(nodetest.Dir(t), "frozen.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	f := &freezing{
		url: "unix://" + path, frozen: make(chan struct{}),
		listener: l, server: strings.TrimPrefix(e.URL, "unix://"), ctx: ctx,
	}
	f.running.Go(f.accept)
	t.Cleanup(func() {
		stop()
		_ = l.Close()
		f.running.Wait()
	})
	return f
}

func (f *freezing) accept() {
	for {
		client, err := f.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", f.server)
		if err != nil {
			_ = client.Close()
			return
		}
		context.AfterFunc(f.ctx, func() {
			_ = client.Close()
			_ = server.Close()
		})
		f.running.Go(func() { _, _ = io.Copy(client, server) })
		f.running.Go(func() { f.pass(client, server) })
	}
}

// pass hands requests on.
func (f *freezing) pass(client, server net.Conn) {
	defer server.Close()
	head := make([]byte, ninep.HeaderSize)
	for {
		if _, err := io.ReadFull(client, head); err != nil {
			return
		}
		if uint32(head[4]) == f.kind.Load() {
			f.once.Do(func() { close(f.frozen) })
			_, _ = io.Copy(io.Discard, client)
			return
		}
		to := io.Writer(server)
		if uint32(head[4]) == f.deafTo.Load() {
			to = io.Discard
			f.swallowed.Add(1)
		}
		if _, err := to.Write(head); err != nil {
			return
		}
		rest := int64(binary.LittleEndian.Uint32(head)) - int64(len(head))
		if _, err := io.CopyN(to, client, rest); err != nil {
			return
		}
	}
}

// endsInTime serves a volume through f, has use use it, and wants it to end when it is unmounted.
func (f *freezing) endsInTime(t *testing.T, e *nodetest.Exporter, use func(dir string)) {
	t.Helper()
	s := spec(t, e, "v", "v")
	s.Server = f.url + "?aname=/"
	v, err := mounter.Open(t.Context(), s, mounter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	mnt := mount(t, params.AccessSingle)
	if err := v.Serve(t.Context(), mnt.dev); err != nil {
		t.Fatal(err)
	}
	_ = mnt.dev.Close()
	use(mnt.dir)
	mnt.unmount(t)
	select {
	case <-v.Done():
	case <-time.After(20 * time.Second):
		t.Error("the volume waits for the server")
	}
}

// The scan of a volume's use has a message under way that the server never
// answers; the volume ends in spite of it.
func TestVolumeOnAFrozenServerEnds(t *testing.T) {
	nodetest.NoLeaks(t)
	e := nodetest.Export(t)
	f := freeze(t, e)
	f.kind.Store(uint32(ninep.TypeTreaddir))
	f.endsInTime(t, e, func(string) { <-f.frozen })
}

// A server that stops answering when the fids of a great many files are given
// back does not keep the volume.
func TestVolumeWhoseFidsAreNotTakenBackEnds(t *testing.T) {
	nodetest.NoLeaks(t)
	e := nodetest.Export(t)
	f := freeze(t, e)
	f.endsInTime(t, e, func(dir string) {
		for i := range 2000 {
			if err := unix.Mkdir(filepath.Join(dir, strconv.Itoa(i)), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		f.kind.Store(uint32(ninep.TypeTclunk))
	})
}
