package mounter_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"github.com/csi-9p/csi-9p/transport"
	serverurl "github.com/csi-9p/csi-9p/transport/dial"
)

// lending has the volumes' sessions served on a socket, which is returned, until the test ends or stop is called. stop returns
// when nobody is served any more.
func lending(t *testing.T, volumes *mounter.Volumes) (socket string, stop func()) {
	t.Helper()
	socket = filepath.Join(nodetest.Dir(t), "sessions.sock")
	listener, err := mounter.Listen(t.Context(), "unix://"+socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- mounter.ServeSessions(ctx, listener, volumes) }()
	stop = func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		served <- nil
	}
	t.Cleanup(stop)
	return socket, stop
}

// through attaches a share by way of the socket.
func through(t *testing.T, socket, share string) (*ninep.Session, *ninep.Fid, error) {
	t.Helper()
	u := serverurl.URL{Scheme: serverurl.Unix, Path: socket}
	s, err := ninep.Open(t.Context(), ninep.Config{
		Dial:             func(ctx context.Context) (transport.Conn, error) { return serverurl.Dial(ctx, u, serverurl.Options{}) },
		ReconnectTimeout: 30 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	root, err := s.Attach(t.Context(), ninep.AttachOptions{Aname: share})
	return s, root, err
}

// TestAVolumeAndAClientShareASession: the mount sees what the client makes, over one connection that outlives the one as well
// as the other, and both go on when the server was started again.
func TestAVolumeAndAClientShareASession(t *testing.T) {
	nodetest.NoLeaks(t)
	e, m := nodetest.Export(t), nodetest.NewMounter(t)
	socket, _ := lending(t, m.Volumes())
	client, root, err := through(t, socket, e.URL)
	if err != nil {
		t.Fatal(err)
	}
	mnt := serve(t, m, spec(t, e, "v", "v"))
	if _, err := root.Mkdir(t.Context(), "made", 0o755, 0); err != nil {
		t.Fatal(err)
	}
	dir, err := root.Walk(t.Context(), "v")
	if err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"before", "after"} {
		if _, err := dir.Mkdir(t.Context(), when, 0o755, 0); err != nil {
			t.Errorf("%s the server came back: %v", when, err)
		}
		if _, err := os.Stat(filepath.Join(mnt.dir, when)); err != nil {
			t.Errorf("through the mount: %v", err)
		}
		if when == "before" {
			if n := e.Connections.Load(); n != 1 {
				t.Errorf("%d connections to the server, want 1", n)
			}
			e.Kill()
			nodetest.Eventually(t, "the client is told", func() bool { return !client.Status().Connected })
			e.Start()
		}
	}
	_ = client.Close()
	if _, err := os.Stat(filepath.Join(mnt.dir, "after")); err != nil {
		t.Errorf("through the mount, without the client: %v", err)
	}
	mnt.unmount(t)
	if err := m.Release(t.Context(), "v"); err != nil {
		t.Error(err)
	}
}

// TestASessionIsKeptForTheNextClient, and closed a while after the last.
func TestASessionIsKeptForTheNextClient(t *testing.T) {
	nodetest.NoLeaks(t)
	e := nodetest.Export(t)
	volumes := &mounter.Volumes{Linger: time.Second}
	socket, _ := lending(t, volumes)
	idle := nodetest.Descriptors(t)
	for range 3 {
		client, _, err := through(t, socket, e.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = client.Close()
	}
	if n := e.Connections.Load(); n != 1 {
		t.Errorf("%d connections to the server, want 1 for clients that follow each other", n)
	}
	nodetest.Eventually(t, "the session is closed", func() bool { return nodetest.Descriptors(t) <= idle })
}

func TestSharesThatAreNotLent(t *testing.T) {
	nodetest.NoLeaks(t)
	e := nodetest.Export(t)
	old := nodetest.Export(t)
	nodetest.Attach(t, old) // it runs
	old.Kill()
	old.Dialects = []ninep.Dialect{ninep.DialectU}
	old.Start()
	volumes := new(mounter.Volumes)
	defer volumes.Close(t.Context())
	socket, _ := lending(t, volumes)
	for share, want := range map[string]unix.Errno{
		"":                             unix.EINVAL,
		"/":                            unix.EINVAL,
		"nfs://server/x":               unix.EINVAL,
		"virtio://no-such-tag":         unix.ENODEV,
		"unix:///no/such/socket":       unix.EHOSTUNREACH,
		"tls://127.0.0.1":              unix.EACCES, // without a certificate
		e.URL + "?aname=/no/such/tree": unix.ENOENT,
		old.URL:                        unix.EPROTONOSUPPORT,
	} {
		if _, _, err := through(t, socket, share); !errors.Is(err, want) {
			t.Errorf("share %q: %v, want %v", share, err, want)
		}
	}
}

func TestOnlyRootAndItsOwnUserAreLentSessions(t *testing.T) {
	e, volumes := nodetest.Export(t), new(mounter.Volumes)
	defer volumes.Close(t.Context())
	socket, _ := lending(t, volumes)
	letIn(t, filepath.Dir(socket))
	if err := os.Chmod(socket, 0o666); err != nil { // which was 0600
		t.Fatal(err)
	}
	var n int
	err := asNobody(func() error {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return err
		}
		defer conn.Close()
		n, err = conn.Read(make([]byte, 1))
		return err
	})
	if n != 0 || err == nil {
		t.Errorf("another user: %d bytes, %v; want the connection to end", n, err)
	}
	if _, _, err := through(t, socket, e.URL); err != nil {
		t.Errorf("its own: %v", err)
	}
}

// TestAFrozenServerHoldsUpNoEnd: a client waits for a server that does not answer, and the mounter is to end.
func TestAFrozenServerHoldsUpNoEnd(t *testing.T) {
	nodetest.NoLeaks(t)
	e, volumes := nodetest.Export(t), new(mounter.Volumes)
	frozen := freeze(t, e)
	socket, stop := lending(t, volumes)
	_, root, err := through(t, socket, frozen.url)
	if err != nil {
		t.Fatal(err)
	}
	frozen.kind.Store(uint32(ninep.TypeTstatfs))
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	go func() { defer close(asked); _, _ = root.Statfs(ctx) }() // which has no answer
	<-frozen.frozen
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	if err := volumes.Close(t.Context()); err != nil {
		t.Error(err)
	}
	select {
	case <-stopped:
	case <-time.After(20 * time.Second):
		t.Error("the gateway waits for the server")
	}
	cancel()
	<-asked
}
