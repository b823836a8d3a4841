package ninep_test

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/virtio"
	"github.com/csi-9p/csi-9p/transport/virtio/virtiotest"
)

// behindDevice is scripted by way of a virtio device, which is another one for each connection.
func behindDevice(t testing.TB, s script) func(context.Context) (transport.Conn, error) {
	return func(ctx context.Context) (transport.Conn, error) {
		return virtio.New(ctx, virtiotest.New(virtiotest.Options{
			Dial: func() (io.ReadWriteCloser, error) {
				near, far := net.Pipe()
				go serveScript(t, far, s)
				return near, nil
			},
			Broken: func(err error) { t.Errorf("the driver broke the device: %v", err) },
		}), virtio.Options{})
	}
}

// TestStalledDevice: a device whose queue stands still is given up, and the session goes on with it after its reset.
func TestStalledDevice(t *testing.T) {
	var stalled atomic.Bool
	s, err := ninep.Open(testContext(t), ninep.Config{
		Dial: behindDevice(t, func(uint16, ninep.Message) any {
			if stalled.Load() {
				return nil
			}
			return pass
		}),
		ProbeAfter: 25 * time.Millisecond,
		Changed:    func(ninep.Status) { stalled.Store(false) },
	})
	ok(t, err)
	defer s.Close()
	root := must(s.Attach(testContext(t), ninep.AttachOptions{}))(t)
	stalled.Store(true)
	file := must(root.Walk(testContext(t), "f"))(t)
	if n := s.Status().Reconnects; n != 1 || file.QID().IsDir() {
		t.Errorf("the walk came back after %d reconnects with %v", n, file.QID())
	}
}
