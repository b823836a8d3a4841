package doctor_test

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/doctor"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"github.com/csi-9p/csi-9p/test/lab"
	"github.com/csi-9p/csi-9p/transport/mtls/mtlstest"
)

func TestMain(m *testing.M) { lab.Main(m, nil) }

// examine looks at a server from a machine that has everything.
func examine(t *testing.T, url string, change ...func(*doctor.Options)) doctor.Report {
	t.Helper()
	o := options(t, url)
	for _, c := range change {
		c(&o)
	}
	return doctor.Run(t.Context(), machine(wellEquipped()), o)
}

// empty checks that nothing was left on a share.
func empty(t *testing.T, root string) {
	t.Helper()
	left, err := os.ReadDir(root)
	if err != nil || len(left) > 0 {
		t.Errorf("left on the share: %v, %v", left, err)
	}
}

func readOnly(o *doctor.Options) { o.ReadOnly = true }

func TestExporter(t *testing.T) {
	e := nodetest.Export(t)
	r := examine(t, e.URL)
	if !r.Usable {
		t.Errorf("not usable: %+v", r.Checks)
	}
	expect(t, find(t, r, "connection"), doctor.OK, "made in")
	expect(t, find(t, r, "dialects"), doctor.OK, "9P2000.L, 9P2000.u, 9P2000")
	expect(t, find(t, r, "largest message"), doctor.OK, "4194304 of them payload")
	expect(t, find(t, r, "tree"), doctor.OK, "/ is attached as uid 0")
	expect(t, find(t, r, "round trip"), doctor.OK, "median of 33")
	expect(t, find(t, r, "order"), doctor.OK, "one round trip")
	expect(t, find(t, r, "writing"), doctor.OK)
	expect(t, find(t, r, "extended attributes"), doctor.OK)
	expect(t, find(t, r, "locks"), doctor.OK, "byte range")
	empty(t, e.Root)
}

func TestReadOnlyLooksAlone(t *testing.T) {
	e := nodetest.Export(t)
	if r := examine(t, e.URL, readOnly); !r.Usable {
		t.Errorf("not usable: %+v", r.Checks)
	}
	for _, asked := range e.Server().Stats().Requests {
		switch asked.Type {
		case ninep.TypeTmkdir, ninep.TypeTlcreate, ninep.TypeTxattrcreate, ninep.TypeTlock, ninep.TypeTunlinkat:
			t.Errorf("%v was asked", asked.Type)
		}
	}
}

func TestDiod(t *testing.T) {
	root := t.TempDir()
	server := lab.Diod(t, root)
	r := examine(t, server.URL)
	if !r.Usable {
		t.Errorf("not usable: %+v", r.Checks)
	}
	expect(t, find(t, r, "dialects"), doctor.OK, "9P2000.L")
	expect(t, find(t, r, "largest message"), doctor.Warn, "65536 bytes", "several messages")
	expect(t, find(t, r, "order"), doctor.Warn, "not known")
	expect(t, find(t, r, "locks"), doctor.Warn, "whole files")
	empty(t, root)
}

// On a server of an old dialect volumes can be mounted, and not made.
func TestOldDialect(t *testing.T) {
	root := t.TempDir()
	server := lab.Exporter(t, root, "--dialects", "9P2000.u")
	r := examine(t, server.URL)
	expect(t, find(t, r, "dialects"), doctor.Warn, "9P2000.u", "dialect: 9P2000.u")
	expect(t, find(t, r, "extended attributes"), doctor.Warn, "not supported")
	expect(t, find(t, r, "locks"), doctor.Warn, "not supported")
	empty(t, root)
}

func TestNoSuchTree(t *testing.T) {
	e := nodetest.Export(t)
	r := examine(t, e.URL+"?aname=/none")
	expect(t, find(t, r, "tree"), doctor.Fail, "/none", "check aname")
}

// A share that cannot be written may be meant so.
func TestUnwritableShare(t *testing.T) {
	root := t.TempDir()
	server := lab.Exporter(t, root, "--readonly")
	r := examine(t, server.URL)
	if !r.Usable {
		t.Errorf("not usable: %+v", r.Checks)
	}
	expect(t, find(t, r, "writing"), doctor.Warn, "read-only")
	empty(t, root)
}

func TestTLS(t *testing.T) {
	ca := mtlstest.NewCA(t, "lab")
	e := nodetest.ExportTLS(t, mtlstest.Source(t, ca.Server("127.0.0.1")))
	r := examine(t, e.URL, func(o *doctor.Options) { o.TLS = mtlstest.Source(t, ca.Client("node")) })
	if !r.Usable {
		t.Errorf("not usable: %+v", r.Checks)
	}
	expect(t, find(t, r, "TLS"), doctor.OK, "trust each other")

	r = examine(t, e.URL)
	expect(t, find(t, r, "connection"), doctor.OK)
	expect(t, find(t, r, "TLS"), doctor.Fail, "--tls-ca")

	stranger := mtlstest.NewCA(t, "other")
	r = examine(t, e.URL, func(o *doctor.Options) { o.TLS = mtlstest.Source(t, stranger.Client("node")) })
	expect(t, find(t, r, "connection"), doctor.OK)
	expect(t, find(t, r, "TLS"), doctor.Fail, "authority")
}

// What stands between this machine and a server is told apart.
func TestUnreachable(t *testing.T) {
	for _, test := range []struct {
		why, url, name string
		tells          []string
	}{
		{"no name", "tcp://no-such-host.invalid", "name", []string{"no-such-host.invalid", "resolv.conf"}},
		{"nobody listens", "tcp://127.0.0.1:1", "connection", []string{"refused", "start the server"}},
		{"no socket", "unix:///nowhere/9p.sock", "connection", []string{"no such file", "path of its socket"}},
		{"hangs up", "tcp://" + peer(t, func(c net.Conn) { c.Close() }), "dialects", []string{"is it a 9P server", "--allow"}},
		{"speaks otherwise", "tcp://" + peer(t, func(c net.Conn) { _, _ = c.Write([]byte("SSH-2.0-OpenSSH_9.2p1 Debian\r\n")) }), "dialects", []string{"is it a 9P server"}},
	} {
		t.Run(test.why, func(t *testing.T) {
			r := examine(t, test.url)
			if c := r.Checks[len(r.Checks)-1]; c.Name != test.name {
				t.Errorf("the last check is %q", c.Name)
			}
			expect(t, find(t, r, test.name), doctor.Fail, test.tells...)
		})
	}
}

// One who has no time left does not wait for a server that says nothing.
func TestSilentServer(t *testing.T) {
	url := "tcp://" + peer(t, func(net.Conn) {})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	r := doctor.Run(ctx, machine(wellEquipped()), options(t, url))
	expect(t, find(t, r, "dialects"), doctor.Fail, "no answer")
}

// peer accepts connections and does something to them, until the test ends.
func peer(t *testing.T, do func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			do(c)
		}
	}()
	return listener.Addr().String()
}
