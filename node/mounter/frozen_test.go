package mounter_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/nodetest"
)

// freezing is a way to an exporter that passes nothing on from the first Treaddir on.
type freezing struct {
	url    string
	frozen chan struct{} // closed by then

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
		if ninep.MsgType(head[4]) == ninep.TypeTreaddir {
			f.once.Do(func() { close(f.frozen) })
			_, _ = io.Copy(io.Discard, client)
			return
		}
		if _, err := server.Write(head); err != nil {
			return
		}
		rest := int64(binary.LittleEndian.Uint32(head)) - int64(len(head))
		if _, err := io.CopyN(server, client, rest); err != nil {
			return
		}
	}
}

// The scan of a volume's use has a message under way that the server never
// answers; the volume ends in spite of it.
func TestVolumeOnAFrozenServerEnds(t *testing.T) {
	nodetest.NoLeaks(t)
	e := nodetest.Export(t)
	f := freeze(t, e)
	s := spec(t, e, "v", "v")
	s.Server = f.url + "?aname=/"
	v, err := mounter.Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	mnt := mount(t, params.AccessSingle)
	if err := v.Serve(t.Context(), mnt.dev); err != nil {
		t.Fatal(err)
	}
	_ = mnt.dev.Close()
	<-f.frozen
	mnt.unmount(t)
	select {
	case <-v.Done():
	case <-time.After(20 * time.Second):
		t.Error("the volume waits for the server")
	}
}
