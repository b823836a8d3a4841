package ninetest_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"os"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/ninetest"
	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/test/lab"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"github.com/csi-9p/csi-9p/transport/mtls/mtlstest"
	"github.com/csi-9p/csi-9p/transport/posted"
	"github.com/csi-9p/csi-9p/transport/stream"
	"github.com/csi-9p/csi-9p/transport/virtio"
	"github.com/csi-9p/csi-9p/transport/virtio/virtiotest"
)

func TestMain(m *testing.M) { lab.Main(m, nil) }

// otherUID is a user that owns nothing; it need not exist.
const otherUID = 1234

// target describes a server at an address.
func target(dialNet func(context.Context) (net.Conn, error), aname, root string) ninetest.Server {
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

func dialer(network, address string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, network, address) }
}

// exporter serves a directory by package server in this process until the test ends.
func exporter(t *testing.T, network, address string) ninetest.Server {
	t.Helper()
	lab.NeedRoot(t)
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	root := serve(t, listener)
	return target(dialer(network, listener.Addr().String()), "/", root)
}

// serve runs package server on a directory of its own until the test ends.
func serve(t *testing.T, listener net.Listener) (root string) {
	t.Helper()
	root = lab.Dir(t)
	s, err := server.New(server.Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	// What the suite sends on purpose is not worth a line each.
	quiet := klog.NewContext(context.Background(), logr.Discard())
	served := make(chan error, 1)
	go func() { served <- s.Serve(quiet, listener) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the exporter: %v", err)
		}
		<-served
	})
	return root
}

func TestExporterTCP(t *testing.T) {
	s := exporter(t, "tcp", "127.0.0.1:0")
	ninetest.Run(t, s)
}

func TestExporterUnix(t *testing.T) {
	s := exporter(t, "unix", lab.Dir(t)+"/socket")
	ninetest.Run(t, s)
}

func TestExporterWithoutZeroCopy(t *testing.T) {
	s := exporter(t, "unix", lab.Dir(t)+"/socket")
	s.ZeroCopy = ninep.ZeroCopyOff
	ninetest.Run(t, s)
}

// TestExporterDialects: no deviation in any dialect.
func TestExporterDialects(t *testing.T) {
	for _, d := range []ninep.Dialect{ninep.DialectU, ninep.DialectLegacy} {
		t.Run(d.String(), func(t *testing.T) {
			s := exporter(t, "tcp", "127.0.0.1:0")
			s.Dialect = d
			ninetest.Run(t, s)
			ninetest.RunRaw(t, s)
		})
	}
}

// TestExporterPosted: errors whose text runs into the place of a payload, which is how virtio has them.
func TestExporterPosted(t *testing.T) {
	s := exporter(t, "unix", lab.Dir(t)+"/socket")
	s.Dialect = ninep.DialectU
	s.Dial = func(ctx context.Context) (transport.Conn, error) {
		conn, err := s.DialNet(ctx)
		if err != nil {
			return nil, err
		}
		return posted.New(conn, nil), nil
	}
	ninetest.Run(t, s)
}

// TestExporterVirtio: through the queue of a device, in each dialect with a device that wants to be driven differently.
func TestExporterVirtio(t *testing.T) {
	for d, options := range map[ninep.Dialect]virtiotest.Options{
		ninep.DialectL:      {},
		ninep.DialectU:      {Pages: true},
		ninep.DialectLegacy: {QueueSize: 32, Without: virtio.FeatureIndirect | virtio.FeatureEventIndex},
	} {
		t.Run(d.String(), func(t *testing.T) {
			s := exporter(t, "unix", lab.Dir(t)+"/socket")
			s.Dialect = d
			options.Broken = func(err error) { t.Errorf("the driver broke the device: %v", err) }
			options.Dial = func() (io.ReadWriteCloser, error) { return s.DialNet(context.Background()) }
			s.Dial = func(ctx context.Context) (transport.Conn, error) {
				return virtio.New(ctx, virtiotest.New(options), virtio.Options{})
			}
			ninetest.Run(t, s)
		})
	}
}

// exporterTLS serves a directory to those with a certificate.
func exporterTLS(t *testing.T) ninetest.Server {
	t.Helper()
	lab.NeedRoot(t)
	ca := mtlstest.NewCA(t, "ca")
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	root := serve(t, mtls.NewListener(plain, mtlstest.Source(t, ca.Server("127.0.0.1"))))
	client, dialTCP := mtlstest.Source(t, ca.Client("suite")), dialer("tcp", plain.Addr().String())
	return target(func(ctx context.Context) (net.Conn, error) {
		c, err := dialTCP(ctx)
		if err != nil {
			return nil, err
		}
		return mtls.Client(ctx, c, "127.0.0.1", client)
	}, "/", root)
}

func TestExporterTLS(t *testing.T) {
	s := exporterTLS(t)
	ninetest.Run(t, s)
}

func TestExporterTLSRaw(t *testing.T) {
	s := exporterTLS(t)
	ninetest.RunRaw(t, s)
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
	s := target(dialer("tcp", at.Host), diod.Root, diod.Root)
	s.Deviations = diodDeviations
	ninetest.Run(t, s)
}

// diodDeviations is what Debian's diod 1.0.24 does by its own fault.
var diodDeviations = map[string]string{
	"version/msize-is-never-raised":  "it takes msize for a signed number: 2 GiB and more is too small",
	"version/unknown-dialect":        "it answers EIO",
	"version/again-clunks-every-fid": "fids survive Tversion",
	"attach/keeps-other-uids-out":    "it runs with CAP_DAC_OVERRIDE for every user and leaves permissions to the client",
	"open/permission-is-checked":     "it runs with CAP_DAC_OVERRIDE for every user and leaves permissions to the client",
	"errno/not-the-owner":            "it runs with CAP_DAC_OVERRIDE for every user and leaves permissions to the client",

	"walk/partial-leaves-newfid-unbound": "newfid is bound to the name that is missing",
	"walk/onto-itself":                   "the fid moves to the name that is missing",
	"walk/from-an-open-fid-is-refused":   "an open fid can be walked from",
	"walk/dotdot-stays-in-the-tree":      "paths are strings to it: .. leads out of the export",
	"walk/slash-in-a-name-leads-nowhere": "paths are strings to it: a slash separates names",
	"create/bad-names-are-refused":       "paths are strings to it: a slash separates names",

	"open/symlink-is-not-followed":   "open(2) without O_NOFOLLOW",
	"create/symlink-is-not-followed": "open(2) without O_NOFOLLOW",
	"setattr/of-a-symlink-itself":    "truncate(2) and chmod(2) follow links",

	"getattr/after-unlink-through-an-open-fid": "lstat(2) of the path, also for an open file",
	"setattr/after-unlink-through-an-open-fid": "truncate(2) of the path, also for an open file",
	"rename/of-an-open-file":                   "truncate(2) of the path, also for an open file",
	"rename/fids-of-the-file-follow":           "a fid is a path, which another file may have",
	"rename/fids-below-a-directory-follow":     "a fid is a path, which ends with the directory's rename",
	"readdir/count-too-small-for-an-entry":     "it answers as at the end of the directory",

	"lock/ranges-are-separate":                   "a lock covers the whole file (flock(2))",
	"lock/owners-of-one-session-conflict":        "a lock covers the whole file (flock(2))",
	"lock/one-owner-changes-its-locks":           "a lock covers the whole file (flock(2))",
	"lock/getlock-names-the-conflict":            "it echoes what was asked",
	"lock/seen-by-the-servers-processes":         "flock(2) and fcntl(2) do not see each other",
	"xattr/clunk-short-of-the-size-sets-nothing": "the value is filled up",
}
