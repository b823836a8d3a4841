package ninefs_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/node/ninefs"
	"github.com/csi-9p/csi-9p/test/lab"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
)

func TestMain(m *testing.M) {
	unix.Umask(0) // as the exporter sets it, whichever test comes first
	lab.Main(m, children)
}

// share is a server and the directory that it exports.
type share struct {
	url  string
	root string
	// configure, unless nil, changes what the client's session is opened with.
	configure func(*ninep.Config)
	// memory, unless nil, is what the client's arena is made of.
	memory *transport.Memory
}

// exporter serves a new directory from this process.
func exporter(t testing.TB) share {
	t.Helper()
	s, _ := stoppable(t, server.Options{})
	return s
}

// limited is an exporter that bears few fids.
func limited(t testing.TB, fids int) share {
	t.Helper()
	s, _ := stoppable(t, server.Options{MaxFids: fids})
	return s
}

// stoppable is an exporter whose server can be stopped: call stop for it, and what that returns to start another one.
func stoppable(t testing.TB, o server.Options) (s share, stop func() (start func())) {
	t.Helper()
	lab.NeedRoot(t)
	dir := lab.Dir(t)
	root, socket := filepath.Join(dir, "root"), filepath.Join(dir, "s")
	check(t, os.Mkdir(root, 0o755))
	var running *server.Server
	served := make(chan error, 1)
	o.Root = root
	start := func() {
		s, err := server.New(o)
		check(t, err)
		l, err := net.Listen("unix", socket)
		check(t, err)
		running = s
		go func() { served <- s.Serve(context.Background(), l) }()
	}
	halt := func() {
		if running == nil {
			return
		}
		running.Close()
		running = nil
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
	start()
	t.Cleanup(halt)
	return share{url: "unix://" + socket, root: root}, func() func() { halt(); return start }
}

// diod serves a new directory from Debian's diod.
func diod(t testing.TB) share {
	t.Helper()
	lab.NeedRoot(t)
	s := lab.Diod(t, lab.Dir(t))
	return share{url: s.URL, root: s.Root}
}

// onServers runs a test against each server.
func onServers(t *testing.T, test func(*testing.T, share)) {
	onEach(t, test, map[string]func(testing.TB) share{"exporter": exporter, "diod": diod})
}

// onCaches is onServers and one more: our exporter, whose modification times are as fine as a local file system's, with
// qid.version always 0.
func onCaches(t *testing.T, test func(*testing.T, share)) {
	onServers(t, test)
	onEach(t, test, map[string]func(testing.TB) share{
		"versionless": func(t testing.TB) share { return poorQIDs(t, exporter(t)) },
	})
}

func onEach(t *testing.T, test func(*testing.T, share), servers map[string]func(testing.TB) share) {
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			noLeak(t)
			test(t, start(t))
		})
	}
}

// noLeak fails a test that leaves a goroutine or a descriptor. It is called first, to be checked last.
func noLeak(t testing.TB) {
	t.Helper()
	running, open := goleak.IgnoreCurrent(), descriptors(t)
	t.Cleanup(func() {
		if err := goleak.Find(running); err != nil {
			t.Error(err)
		}
		lab.Eventually(t, 5*time.Second, func() error {
			if now := descriptors(t); now > open {
				return errors.New("descriptors left open")
			}
			return nil
		})
	})
}

func descriptors(t testing.TB) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// mounted is a mount of a share, served by this process.
type mounted struct {
	dir     string
	fs      *ninefs.FS
	session *ninep.Session
	meter   ninep.Meter
	arena   *transport.Arena
}

// mount mounts a share until the end of the test. set changes the options.
func mount(t testing.TB, s share, set ...func(*ninefs.Options)) *mounted {
	t.Helper()
	m := &mounted{dir: lab.Dir(t)}
	check(t, os.Chmod(filepath.Dir(m.dir), 0o755)) // other users come by
	u, err := dial.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	config := ninep.Config{
		Dial:             func(ctx context.Context) (transport.Conn, error) { return dial.Dial(ctx, u, dial.Options{}) },
		ReconnectTimeout: 20 * time.Second,
	}
	if s.configure != nil {
		s.configure(&config)
	}
	m.session, err = ninep.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.session.Close() })
	root, err := m.session.Attach(t.Context(), ninep.AttachOptions{Aname: u.Aname, Meter: &m.meter})
	if err != nil {
		t.Fatal(err)
	}
	m.arena, err = transport.NewArena(transport.ArenaOptions{SlotSize: 1 << 20, Limit: 64 << 20, Memory: s.memory})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.arena.Close() })
	o := ninefs.Options{Root: root, Arena: m.arena, Threaded: lab.IOURing(t) != fuse.IOURingOff}
	for _, f := range set {
		f(&o)
	}
	if m.fs, err = ninefs.New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	m.serve(t, o.Attach == nil)
	return m
}

// serve mounts the file system and carries out what is asked of it.
func (m *mounted) serve(t testing.TB, kernelChecks bool) {
	t.Helper()
	dev, err := fuse.OpenDevice()
	if err != nil {
		t.Fatal(err)
	}
	err = fuse.Mount(dev, m.dir, fuse.MountOptions{
		Source: "test", Subtype: "csi-9p", AllowOther: true, DefaultPermissions: kernelChecks, MaxRead: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	id, err := fuse.ConnectionID(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := fuse.Serve(t.Context(), dev, fuse.Config{
		Handler: m.fs, Buffers: buffers{m.arena}, Flags: m.fs.InitFlags(), IOURing: lab.IOURing(t),
	})
	if err != nil {
		_ = fuse.Unmount(m.dir)
		t.Fatal(err)
	}
	m.fs.SetNotifier(conn)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("session: %+v", m.session.Status())
			_ = fuse.Abort(id)
		}
		if err := fuse.Unmount(m.dir); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		select {
		case <-conn.Done():
		case <-ctx.Done():
			t.Error("the mount is still in use")
			_ = fuse.Abort(id)
		}
		if err := conn.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := m.fs.Close(); err != nil {
			t.Error(err)
		}
		_ = dev.Close()
	})
	m.settlePoll(t)
}

// settlePoll lets the kernel learn that there is no POLL here, from a system call that the runtime knows to block: its own
// epoll_ctl(2) for a file of this process's mount would hold up the very goroutines that answer it.
func (m *mounted) settlePoll(t testing.TB) {
	t.Helper()
	path := filepath.Join(m.dir, ".poll")
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	if err := errors.Join(err, unix.Close(fd), unix.Unlink(path)); err != nil {
		t.Fatal(err)
	}
}

func (m *mounted) path(name string) string { return filepath.Join(m.dir, name) }

// buffers lends receive buffers from an arena.
type buffers struct{ *transport.Arena }

func (b buffers) Get(ctx context.Context, n int) (fuse.Buffer, error) {
	s, err := b.Arena.Get(ctx, n)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (b buffers) TryGet(n int) fuse.Buffer {
	if s := b.Arena.TryGet(n); s != nil {
		return s
	}
	return nil
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func write(t testing.TB, path, content string) {
	t.Helper()
	check(t, os.WriteFile(path, []byte(content), 0o644))
}

func wantContent(t testing.TB, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	check(t, err)
	if string(got) != want {
		t.Fatalf("%s holds %.80q (%d bytes), want %.80q (%d bytes)", path, got, len(got), want, len(want))
	}
}

func stat(t testing.TB, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatalf("lstat %s: %v", path, err)
	}
	return st
}
