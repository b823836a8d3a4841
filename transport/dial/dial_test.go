package dial_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"github.com/csi-9p/csi-9p/transport/mtls/mtlstest"
	"github.com/csi-9p/csi-9p/transport/virtio/pci"
)

func parse(t *testing.T, s string) dial.URL {
	t.Helper()
	u, err := dial.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func listen(t *testing.T, u dial.URL) net.Listener { return listenWith(t, u, dial.Options{}) }

func listenWith(t *testing.T, u dial.URL, o dial.Options) net.Listener {
	t.Helper()
	l, err := dial.Listen(t.Context(), u, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

type done chan *transport.Call

func (d done) Complete(c *transport.Call) { d <- c }

// exchange dials u and has a Tclunk answered by a server that accepts on l.
func exchange(t *testing.T, u dial.URL, l net.Listener) { exchangeWith(t, u, l, dial.Options{}) }

func exchangeWith(t *testing.T, u dial.URL, l net.Listener, o dial.Options) {
	t.Helper()
	served := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			served <- err
			return
		}
		defer c.Close()
		if _, err = io.ReadFull(c, make([]byte, 11)); err == nil {
			_, err = c.Write([]byte{7, 0, 0, 0, 121, 1, 0})
		}
		served <- err
	}()
	c, err := dial.Dial(t.Context(), u, o)
	if err != nil {
		t.Fatal(err)
	}
	d := make(done, 1)
	c.Submit(&transport.Call{
		Tag: 1, Head: []byte{11, 0, 0, 0, 120, 1, 0, 1, 0, 0, 0}, Reply: make([]byte, 0, 16), Done: d,
	})
	if call := <-d; call.Err != nil || len(call.Reply) != 7 {
		t.Errorf("reply %v, error %v", call.Reply, call.Err)
	}
	if got := c.Traits().Name; got != u.Scheme {
		t.Errorf("the transport is named %q, want %q", got, u.Scheme)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	c.Close()
	<-c.Lost()
}

func TestTCP(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		t.Run(host, func(t *testing.T) {
			u := parse(t, "tcp://"+host+":0")
			l := listen(t, u)
			u.Port = uint32(l.Addr().(*net.TCPAddr).Port)
			exchange(t, u, l)
		})
	}
}

func TestTLS(t *testing.T) {
	ca := mtlstest.NewCA(t, "ca")
	client := dial.Options{TLS: mtlstest.Source(t, ca.Client("c"))}
	for _, test := range []struct{ host, expect, certified string }{
		{"127.0.0.1", "", "127.0.0.1"},
		{"[::1]", "", "::1"},
		{"127.0.0.1", "nas.example", "nas.example"},
	} {
		u := parse(t, "tls://"+test.host+":0")
		l := listenWith(t, u, dial.Options{TLS: mtlstest.Source(t, ca.Server(test.certified))})
		u.Port, u.ServerName = uint32(l.Addr().(*net.TCPAddr).Port), test.expect
		exchangeWith(t, u, l, client)
	}
}

func TestTLSNeedsCertificates(t *testing.T) {
	u := parse(t, "tls://127.0.0.1:0")
	_, dialErr := dial.Dial(t.Context(), u, dial.Options{})
	_, listenErr := dial.Listen(t.Context(), u, dial.Options{})
	for _, err := range []error{dialErr, listenErr} {
		if !errors.Is(err, mtls.ErrNone) || !strings.Contains(err.Error(), u.String()) {
			t.Errorf("without certificates: %v", err)
		}
	}
}

func TestUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a socket?")
	u := parse(t, dial.URL{Scheme: "unix", Path: path}.String())
	l := listen(t, u)
	exchange(t, u, l)
	for range 2 {
		l.Close()
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close the socket is there: %v", err)
	}
}

// Context id 1 is this machine, through the kernel module vsock_loopback
// (Linux 5.6).
func TestVSock(t *testing.T) {
	u := parse(t, "vsock://1:0")
	l, err := dial.Listen(t.Context(), u, dial.Options{})
	if err != nil {
		if !strings.Contains(err.Error(), "vsock_loopback") {
			t.Errorf("%v: it does not say what to do", err)
		}
		t.Skipf("load the kernel module vsock_loopback to run this test: %v", err)
	}
	defer l.Close()
	u.Port = l.Addr().(*vsock.Addr).Port
	exchange(t, u, l)
}

func TestDialNamesTheServer(t *testing.T) {
	l := listen(t, parse(t, "tcp://127.0.0.1:0"))
	nobody := parse(t, "tcp://"+l.Addr().String()+"/srv")
	l.Close()
	_, err := dial.Dial(t.Context(), nobody, dial.Options{})
	if !errors.Is(err, unix.ECONNREFUSED) || !strings.Contains(err.Error(), nobody.String()) {
		t.Errorf("a server that is absent: %v", err)
	}

	absent := dial.URL{Scheme: "unix", Path: filepath.Join(t.TempDir(), "absent")}
	_, err = dial.Dial(t.Context(), absent, dial.Options{})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), absent.String()) {
		t.Errorf("a socket that is absent: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = dial.Dial(ctx, nobody, dial.Options{}); err == nil {
		t.Error("a cancelled context did not end Dial")
	}
}

func TestVirtio(t *testing.T) {
	u := parse(t, "virtio://there%20is%20no%20such%20tag")
	if _, err := dial.Dial(t.Context(), u, dial.Options{}); !errors.Is(err, pci.ErrNotFound) || !strings.Contains(err.Error(), u.String()) {
		t.Errorf("a device that is not there: %v", err)
	}
	if _, err := dial.Listen(t.Context(), u, dial.Options{}); !errors.Is(err, dial.ErrUnsupported) {
		t.Errorf("listening on a device: %v", err)
	}
	if _, err := dial.Dial(t.Context(), dial.URL{Scheme: "nfs"}, dial.Options{}); !errors.Is(err, dial.ErrURL) {
		t.Errorf("a scheme that is none: %v", err)
	}
}

func TestListenUnixReplacesAStaleSocket(t *testing.T) {
	u := dial.URL{Scheme: "unix", Path: filepath.Join(t.TempDir(), "s")}
	stale, err := net.Listen("unix", u.Path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()
	exchange(t, u, listen(t, u))
}

func TestListenUnixRefusesALiveSocket(t *testing.T) {
	u := dial.URL{Scheme: "unix", Path: filepath.Join(t.TempDir(), "s")}
	live := listen(t, u)
	if _, err := dial.Listen(t.Context(), u, dial.Options{}); !errors.Is(err, dial.ErrInUse) || !strings.Contains(err.Error(), u.Path) {
		t.Errorf("a second listener: %v", err)
	}
	if c, err := live.Accept(); err != nil { // the question whether it lives
		t.Error(err)
	} else {
		c.Close()
	}
	exchange(t, u, live)
}

func TestListenUnixLeavesOtherFilesAlone(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link, dir} {
		_, err := dial.Listen(t.Context(), dial.URL{Scheme: "unix", Path: path}, dial.Options{})
		if err == nil || !strings.Contains(err.Error(), "is no socket") {
			t.Errorf("Listen on %s: %v", path, err)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s is gone: %v", path, err)
		}
	}
}

// A socket that another server put in the place of ours is that server's.
func TestCloseLeavesASuccessorsSocket(t *testing.T) {
	u := dial.URL{Scheme: "unix", Path: filepath.Join(t.TempDir(), "s")}
	first := listen(t, u)
	if err := os.Rename(u.Path, u.Path+".old"); err != nil {
		t.Fatal(err)
	}
	second := listen(t, u)
	first.Close()
	exchange(t, u, second)
}
