package ninefs_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/node/ninefs"
	"github.com/csi-9p/csi-9p/test/lab"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/virtio"
	"github.com/csi-9p/csi-9p/transport/virtio/virtiotest"
)

// device is an exporter behind a virtio device in memory.
func device(t testing.TB) share {
	t.Helper()
	s, _ := breakable(t)
	return s
}

// breakable is a device, and what breaks it as it is now: the session makes a new one.
func breakable(t testing.TB) (s share, breakIt func()) {
	t.Helper()
	s = exporter(t)
	s.memory = new(transport.Memory)
	options := virtiotest.Options{
		Pages:  true,
		Dial:   func() (io.ReadWriteCloser, error) { return net.Dial("unix", strings.TrimPrefix(s.url, "unix://")) },
		Broken: func(err error) { t.Errorf("the driver broke the device: %v", err) },
	}
	var current atomic.Pointer[virtiotest.Device]
	s.configure = func(c *ninep.Config) {
		c.Dial = func(ctx context.Context) (transport.Conn, error) {
			current.Store(virtiotest.New(options))
			return virtio.New(ctx, current.Load(), virtio.Options{Memory: s.memory})
		}
	}
	return s, func() { current.Load().Break() }
}

// TestDeviceCopiesNothing: what programs write goes from the slot that the kernel put it in to the device, and what they read from the
// device to the slot that the kernel takes it from, none of it through a buffer in between. Nor does it with the device that comes after
// one that broke. A ring's memory the device does not reach, so there all of it does.
func TestDeviceCopiesNothing(t *testing.T) {
	noLeak(t)
	s, breakIt := breakable(t)
	m := mount(t, s, func(o *ninefs.Options) { o.Cache = ninefs.CacheNone })
	data := bytes.Repeat([]byte("0123456789abcdef"), 3<<16)
	for round := range uint64(2) {
		check(t, os.WriteFile(m.path("f"), data, 0o600))
		if got, err := os.ReadFile(m.path("f")); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes came back of %d, or others: %v", len(got), len(data), err)
		}
		if got, err := os.ReadFile(s.root + "/f"); err != nil || !bytes.Equal(got, data) {
			t.Errorf("the server has %d bytes of %d, or others: %v", len(got), len(data), err)
		}
		all := (round + 1) * uint64(len(data))
		want := ninep.Paths{Placed: all}
		if lab.IOURing(t) != fuse.IOURingOff {
			want = ninep.Paths{Transport: all}
		}
		if sent, received := m.meter.Paths(); sent != want || received != want {
			t.Errorf("%d bytes each way: sent %+v, received %+v", all, sent, received)
		}
		breakIt()
	}
}
