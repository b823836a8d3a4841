package gateway_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/gateway"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"github.com/csi-9p/csi-9p/test/lab"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
)

func TestMain(m *testing.M) { lab.Main(m, nil) }

// house is a process with sessions, and a gateway to them.
type house struct {
	t        *testing.T
	socket   string
	sessions map[string]*ninep.Session // by what a share's name begins with
	lent     atomic.Int64              // shares that were not given back
	clients  sync.WaitGroup
}

var errUnknown = errors.New("no such share")

func newHouse(t *testing.T, sessions map[string]*ninep.Session) *house {
	t.Helper()
	h := &house{t: t, socket: filepath.Join(nodetest.Dir(t), "sessions.sock"), sessions: sessions}
	listener, err := net.Listen("unix", h.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	h.clients.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			h.clients.Go(func() {
				if err := gateway.Serve(ctx, conn, h.open); err != nil {
					t.Errorf("a client: %v", err)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		stop()
		h.clients.Wait()
		if n := h.lent.Load(); n != 0 {
			t.Errorf("%d shares were not given back", n)
		}
	})
	return h
}

func (h *house) open(_ context.Context, name string) (*gateway.Share, error) {
	server, aname, _ := strings.Cut(name, ":")
	session := h.sessions[server]
	switch {
	case server == "busy":
		return nil, &os.PathError{Op: "open", Path: name, Err: unix.EBUSY}
	case session == nil:
		return nil, errUnknown
	}
	h.lent.Add(1)
	return &gateway.Share{
		Session: session, Aname: aname, Flow: transport.NewFlow(1 << 20), Release: func() { h.lent.Add(-1) },
	}, nil
}

// share is a house with one session.
func share(t *testing.T, s *ninep.Session) *house {
	t.Helper()
	return newHouse(t, map[string]*ninep.Session{"share": s})
}

// session opens one with a server at a URL, which wrap is put before, and closes it with the test.
func session(t *testing.T, server string, wrap func(transport.Conn) transport.Conn) *ninep.Session {
	t.Helper()
	u, err := dial.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ninep.Open(t.Context(), ninep.Config{Dial: func(ctx context.Context) (transport.Conn, error) {
		conn, err := dial.Dial(ctx, u, dial.Options{})
		if err == nil && wrap != nil {
			conn = wrap(conn)
		}
		return conn, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// client is a session with the gateway.
func (h *house) client() *ninep.Session { return session(h.t, "unix://"+h.socket, nil) }

func attach(t *testing.T, s *ninep.Session, name string) *ninep.Fid {
	t.Helper()
	root, err := s.Attach(t.Context(), ninep.AttachOptions{Aname: name})
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// create makes a file with a content and leaves it open.
func create(t *testing.T, dir *ninep.Fid, name, content string) *ninep.Fid {
	t.Helper()
	f, err := dir.Walk(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Create(t.Context(), name, unix.O_RDWR, 0o644, 0); err != nil {
		t.Fatal(err)
	}
	if n, err := f.Write(t.Context(), []byte(content), 0); err != nil || n != len(content) {
		t.Fatalf("wrote %d bytes: %v", n, err)
	}
	return f
}

func wantContent(t *testing.T, f *ninep.Fid, want string) {
	t.Helper()
	got := make([]byte, len(want)+1)
	n, err := f.Read(t.Context(), got, 0)
	if err != nil || string(got[:n]) != want {
		t.Errorf("read %d bytes, %v; want the %d written", n, err, len(want))
	}
}

// TestDiod: with a server whose messages are no larger than the gateway's, and that crashes of messages out of order.
func TestDiod(t *testing.T) {
	diod := lab.Diod(t, lab.Dir(t))
	at, err := url.Parse(diod.URL)
	if err != nil {
		t.Fatal(err)
	}
	h := share(t, session(t, "tcp://"+at.Host, nil))
	root := attach(t, h.client(), "share:"+diod.Root)
	long := strings.Repeat("content ", 50000)
	wantContent(t, create(t, root, "f", long), long)
	if got, err := os.ReadFile(filepath.Join(diod.Root, "f")); err != nil || string(got) != long {
		t.Errorf("on the server: %d bytes, %v", len(got), err)
	}
}

func TestAttachIsRefused(t *testing.T) {
	h := share(t, session(t, nodetest.Export(t).URL, nil))
	client := h.client()
	for name, want := range map[string]unix.Errno{
		"nobody:/":      unix.EIO,
		"busy:/":        unix.EBUSY,
		"share:/no/one": unix.ENOENT,
		"":              unix.EIO,
	} {
		if _, err := client.Attach(t.Context(), ninep.AttachOptions{Aname: name}); !errors.Is(err, want) {
			t.Errorf("attach %q: %v, want %v", name, err, want)
		}
	}
	if _, err := attach(t, client, "share:/").Getattr(t.Context(), ninep.AttrBasic); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestAClientThatGoesLeavesNothing: fids, open files, locks, the share.
func TestAClientThatGoesLeavesNothing(t *testing.T) {
	own := session(t, nodetest.Export(t).URL, nil)
	h := share(t, own)
	client := h.client()
	root := attach(t, client, "share:/")
	f := create(t, root, "f", "data")
	lock := ninep.Lock{Type: ninep.WriteLock, ProcID: 1}
	if status, err := f.Lock(t.Context(), lock); err != nil || status != ninep.LockSuccess {
		t.Fatalf("lock: %v, %v", status, err)
	}
	for range 100 {
		if _, err := root.Walk(t.Context(), "f"); err != nil {
			t.Fatal(err)
		}
	}
	if n := own.Stats().Fids; n < 102 {
		t.Errorf("%d fids in the session", n)
	}
	_ = client.Close() // which clunks nothing
	nodetest.Eventually(t, "the fids are given back", func() bool { return own.Stats().Fids == 0 && h.lent.Load() == 0 })
	g, err := attach(t, h.client(), "share:/").Walk(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Open(t.Context(), unix.O_RDWR); err != nil {
		t.Fatal(err)
	}
	nodetest.Eventually(t, "the lock is free", func() bool {
		status, err := g.Lock(t.Context(), lock)
		return err == nil && status == ninep.LockSuccess
	})
}

func TestTheShareGoesWithItsLastFid(t *testing.T) {
	h := share(t, session(t, nodetest.Export(t).URL, nil))
	client := h.client()
	first, second := attach(t, client, "share:/"), attach(t, client, "share:/")
	f := create(t, first, "f", "data")
	for i, fid := range []*ninep.Fid{first, second, f} {
		if n := h.lent.Load(); n != []int64{2, 2, 1}[i] {
			t.Errorf("before fid %d is given back, %d shares are lent", i, n)
		}
		if err := fid.Clunk(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if n := h.lent.Load(); n != 0 {
		t.Errorf("%d shares are lent to a client without fids", n)
	}
}

// TestTheServerComesBack: a client that reconnects goes on where it was, and its locks with it.
func TestTheServerComesBack(t *testing.T) {
	e := nodetest.Export(t)
	client := share(t, session(t, e.URL, nil)).client()
	f := create(t, attach(t, client, "share:/"), "f", "data")
	e.Kill()
	nodetest.Eventually(t, "the client is told", func() bool { return !client.Status().Connected })
	e.Start()
	wantContent(t, f, "data")
	if n := client.Status().Reconnects; n == 0 {
		t.Error("the client's connection outlived its session's")
	}
}

func TestFilesOfTwoSessions(t *testing.T) {
	h := newHouse(t, map[string]*ninep.Session{
		"here": session(t, nodetest.Export(t).URL, nil), "there": session(t, nodetest.Export(t).URL, nil),
	})
	client := h.client()
	here, there := attach(t, client, "here:/"), attach(t, client, "there:/")
	create(t, here, "f", "here")
	if err := here.Rename(t.Context(), "f", there, "f"); !errors.Is(err, unix.EXDEV) {
		t.Errorf("rename to another server: %v, want EXDEV", err)
	}
	again := attach(t, client, "here:/")
	if err := here.Rename(t.Context(), "f", again, "g"); err != nil {
		t.Errorf("rename between two attaches: %v", err)
	}
}

// stuck is a connection whose server never answers Tstatfs, unless that is flushed.
type stuck struct {
	transport.Conn
	asked   chan struct{} // holds one for each that it was asked
	mu      sync.Mutex
	waiting map[uint16]*transport.Call
}

func (s *stuck) Submit(c *transport.Call) {
	if ninep.MsgType(c.Head[4]) != ninep.TypeTstatfs {
		s.Conn.Submit(c)
		return
	}
	s.mu.Lock()
	s.waiting[c.Tag] = c
	s.mu.Unlock()
	s.asked <- struct{}{}
}

func (s *stuck) Withdraw(c *transport.Call) bool {
	return ninep.MsgType(c.Head[4]) != ninep.TypeTstatfs && s.Conn.Withdraw(c)
}

func (s *stuck) Forget(tag uint16) {
	s.mu.Lock()
	c := s.waiting[tag]
	delete(s.waiting, tag)
	s.mu.Unlock()
	if c == nil {
		s.Conn.Forget(tag)
		return
	}
	c.Err = transport.ErrForgotten
	c.Done.Complete(c)
}

// TestCancelledCalls: what a client does not want to wait for any more is flushed at the server, and so is what it has under
// way when it goes.
func TestCancelledCalls(t *testing.T) {
	server := &stuck{asked: make(chan struct{}, 10), waiting: map[uint16]*transport.Call{}}
	own := session(t, nodetest.Export(t).URL, func(c transport.Conn) transport.Conn { server.Conn = c; return server })
	h := share(t, own)
	client := h.client()
	root := attach(t, client, "share:/")
	ask := func(ctx context.Context) <-chan error {
		done := make(chan error, 1)
		go func() { _, err := root.Statfs(ctx); done <- err }()
		<-server.asked
		return done
	}
	ctx, cancel := context.WithCancel(t.Context())
	first, second := ask(ctx), ask(t.Context())
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	nodetest.Eventually(t, "only the other call is under way", func() bool { return own.Stats().InFlight.Calls == 1 })
	if _, err := root.Getattr(t.Context(), ninep.AttrBasic); err != nil {
		t.Errorf("another call on the fid: %v", err)
	}
	_ = client.Close()
	if err := <-second; !errors.Is(err, ninep.ErrClosed) {
		t.Errorf("of a client that went: %v", err)
	}
	nodetest.Eventually(t, "nothing is under way", func() bool { s := own.Stats(); return s.InFlight.Calls == 0 && s.Fids == 0 })
}

// TestMoreCallsThanAreServed: those that wait for their turn are cancelled as well as those that the server has, by the client and by its end.
func TestMoreCallsThanAreServed(t *testing.T) {
	const served, asked = 64, 200
	for name, end := range map[string]func(cancel func(), client *ninep.Session){
		"cancelled": func(cancel func(), _ *ninep.Session) { cancel() },
		"closed":    func(_ func(), client *ninep.Session) { _ = client.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			server := &stuck{asked: make(chan struct{}, asked), waiting: map[uint16]*transport.Call{}}
			own := session(t, nodetest.Export(t).URL, func(c transport.Conn) transport.Conn { server.Conn = c; return server })
			client := share(t, own).client()
			root := attach(t, client, "share:/")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var waiting sync.WaitGroup
			for range asked {
				waiting.Go(func() { _, _ = root.Statfs(ctx) })
			}
			for range served {
				<-server.asked
			}
			end(cancel, client)
			waiting.Wait()
			nodetest.Eventually(t, "nothing is under way", func() bool { return own.Stats().InFlight.Calls == 0 })
		})
	}
}

// mute is a connection whose device hands Tstatfs back without a reply.
type mute struct{ transport.Conn }

func (m mute) Submit(c *transport.Call) {
	if ninep.MsgType(c.Head[4]) != ninep.TypeTstatfs {
		m.Conn.Submit(c)
		return
	}
	c.Err = transport.ErrNoReply
	c.Done.Complete(c)
}

// TestNoReply: what the server gave no answer to has failed, and nothing else.
func TestNoReply(t *testing.T) {
	client := share(t, session(t, nodetest.Export(t).URL, func(c transport.Conn) transport.Conn { return mute{c} })).client()
	root := attach(t, client, "share:/")
	if _, err := root.Statfs(t.Context()); !errors.Is(err, unix.EIO) {
		t.Errorf("statfs: %v", err)
	}
	if _, err := root.Getattr(t.Context(), ninep.AttrBasic); err != nil || client.Status().Reconnects != 0 {
		t.Errorf("after that: %v, %d reconnects", err, client.Status().Reconnects)
	}
}

// TestAClientThatTakesNoReplies holds up nobody else.
func TestAClientThatTakesNoReplies(t *testing.T) {
	e := nodetest.Export(t)
	h := share(t, session(t, e.URL, nil))
	if err := os.WriteFile(filepath.Join(e.Root, "f"), make([]byte, 60<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", h.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send(t, conn, ninep.NoTag, &ninep.Tversion{Msize: 64 << 10, Version: ninep.Version})
	send(t, conn, 0, &ninep.Tattach{Fid: 0, Afid: ninep.NoFID, Aname: "share:/"})
	send(t, conn, 1, &ninep.Twalk{Fid: 0, NewFid: 1, Names: []string{"f"}})
	send(t, conn, 2, &ninep.Tlopen{Fid: 1})
	for tag := range uint16(100) {
		send(t, conn, 3+tag, &ninep.Tread{Fid: 1, Count: 60 << 10})
	}
	f := create(t, attach(t, h.client(), "share:/"), "g", "data")
	wantContent(t, f, "data")
}

func send(t *testing.T, w io.Writer, tag uint16, m ninep.Message) {
	t.Helper()
	b, err := ninep.Append(nil, tag, m)
	if err == nil {
		_, err = w.Write(append(b, ninep.Payload(m)...))
	}
	if err != nil {
		t.Fatal(err)
	}
}
