package ninetest_test

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/ninetest"
	"github.com/csi-9p/csi-9p/node/gateway"
	"github.com/csi-9p/csi-9p/test/lab"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/virtio"
	"github.com/csi-9p/csi-9p/transport/virtio/virtiotest"
)

// through is the server behind a gateway: all that the suite opens goes over one session.
func through(t *testing.T, s ninetest.Server) ninetest.Server {
	t.Helper()
	quiet := klog.NewContext(context.Background(), logr.Discard())
	session, err := ninep.Open(quiet, ninep.Config{Dial: s.Dial, ReconnectTimeout: -1})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", lab.Dir(t)+"/sessions")
	if err != nil {
		t.Fatal(err)
	}
	flow := transport.NewFlow(4 << 20)
	open := func(_ context.Context, name string) (*gateway.Share, error) {
		return &gateway.Share{Session: session, Aname: name, Flow: flow, Release: func() {}}, nil
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _ = gateway.Serve(quiet, conn, open) }() // what the suite sends on purpose ends connections
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-served
		if fids := session.Stats().Fids; fids > 0 {
			t.Errorf("%d fids are left of clients that are gone", fids)
		}
		if status := session.Status(); !status.Connected || status.Reconnects > 0 {
			t.Errorf("the session behind: %+v", status)
		}
		_ = session.Close()
	})
	return target(dialer("unix", listener.Addr().String()), s.Aname, s.Root)
}

// TestExporterThroughGateway: no deviation, with a device whose one session the gateway's clients share.
func TestExporterThroughGateway(t *testing.T) {
	s := exporter(t, "unix", lab.Dir(t)+"/socket")
	dial := s.DialNet
	device := virtiotest.New(virtiotest.Options{
		Dial:   func() (io.ReadWriteCloser, error) { return dial(context.Background()) },
		Broken: func(err error) { t.Errorf("the driver broke the device: %v", err) },
	})
	s.Dial = func(ctx context.Context) (transport.Conn, error) { return virtio.New(ctx, device, virtio.Options{}) }
	s = through(t, s)
	ninetest.Run(t, s)
	ninetest.RunRaw(t, s)
}
