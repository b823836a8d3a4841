package ninetest_test

import (
	"context"
	"net"
	"net/url"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/csi-9p/csi-9p/ninep/ninetest"
	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/test/lab"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/stream"
)

func TestMain(m *testing.M) { lab.Main(m, nil) }

// otherUID is a user that owns nothing; it need not exist.
const otherUID = 1234

// target describes a server at an address.
func target(network, address, aname, root string) ninetest.Server {
	dialNet := func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	return ninetest.Server{
		DialNet: dialNet,
		Dial: func(ctx context.Context) (transport.Conn, error) {
			conn, err := dialNet(ctx)
			if err != nil {
				return nil, err
			}
			return stream.New(conn, stream.Options{}), nil
		},
		Aname: aname, Root: root, UID: uint32(os.Geteuid()), OtherUID: otherUID,
	}
}

// exporter serves a directory by package server in this process until the test ends.
func exporter(t *testing.T, network, address string) ninetest.Server {
	t.Helper()
	lab.NeedRoot(t)
	root := lab.Dir(t)
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(server.Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), listener) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the exporter: %v", err)
		}
		<-served
		goleak.VerifyNone(t)
	})
	return target(network, listener.Addr().String(), "/", root)
}

func TestExporterTCP(t *testing.T) {
	s := exporter(t, "tcp", "127.0.0.1:0")
	ninetest.Run(t, s)
}

func TestExporterUnix(t *testing.T) {
	s := exporter(t, "unix", lab.Dir(t)+"/socket")
	ninetest.Run(t, s)
}

func TestExporterRaw(t *testing.T) {
	s := exporter(t, "tcp", "127.0.0.1:0")
	ninetest.RunRaw(t, s)
}

func TestDiod(t *testing.T) {
	lab.NeedRoot(t)
	diod := lab.Diod(t, lab.Dir(t))
	at, err := url.Parse(diod.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := target("tcp", at.Host, diod.Root, diod.Root)
	s.Deviations = diodDeviations
	ninetest.Run(t, s)
}

// diodDeviations is what Debian's diod 1.0.24 does by its own fault.
var diodDeviations = map[string]string{}
