package mounter_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"github.com/csi-9p/csi-9p/transport"
	serverurl "github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/stream"
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
	if stats := m.Volumes().ServerStats(); len(stats) != 1 || stats[0].Clients != 1 {
		t.Errorf("with a client: %+v", stats)
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
	nodetest.Eventually(t, "no client is counted any more", func() bool { return m.Volumes().ServerStats()[0].Clients == 0 })
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

// TestClientsLeaveRoomForVolumes: the server has as many requests of clients as they may have under way in a session, and answers
// none, which keeps no mount of that session from being used.
func TestClientsLeaveRoomForVolumes(t *testing.T) {
	nodetest.NoLeaks(t)
	const clients, requests = 5, 64 // more than a connection takes
	e, m := nodetest.Export(t), nodetest.NewMounter(t)
	server := freeze(t, e)
	socket, _ := lending(t, m.Volumes())
	s := spec(t, e, "v", "v")
	s.Server = server.url
	mnt := serve(t, m, s)
	defer mnt.unmount(t)
	server.deafTo.Store(uint32(ninep.TypeTreadlink))
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer cancel()
	var roots [clients]*ninep.Fid
	for i := range roots {
		var err error
		if _, roots[i], err = through(t, socket, server.url); err != nil {
			t.Fatal(err)
		}
	}
	for i := range clients * requests {
		waiting.Go(func() { _, _ = roots[i%clients].Readlink(ctx) })
	}
	const most = stream.DefaultSlots - stream.DefaultSlots/4 // of one flow
	nodetest.Eventually(t, "the server has what it does not answer", func() bool { return server.swallowed.Load() == most })
	path := filepath.Join(mnt.dir, "f")
	if err := nodetest.WriteFile(path, "data"); err != nil {
		t.Error(err)
	}
	if got, err := nodetest.ReadFile(path); err != nil || got != "data" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := os.Rename(path, path+"2"); err != nil {
		t.Error(err)
	}
	if n := server.swallowed.Load(); n != most {
		t.Errorf("meanwhile the server had %d requests of clients, %d before", n, most)
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
