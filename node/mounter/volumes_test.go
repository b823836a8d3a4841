package mounter_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/record"
	"github.com/csi-9p/csi-9p/driver/volume"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"golang.org/x/sys/unix"
)

// spec is a volume in a directory of the exporter, made if it is missing.
func spec(t testing.TB, e *nodetest.Exporter, id string, dir ...string) mounter.Spec {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(append([]string{e.Root}, dir...)...), 0o755); err != nil {
		t.Fatal(err)
	}
	p := params.Defaults()
	p.Server = e.URL
	return mounter.Spec{VolumeID: id, Server: e.URL + "?aname=/", Context: volume.Context{Parameters: p, Directory: dir}}
}

// mounted is a FUSE mount as the node service makes it.
type mounted struct {
	dir string
	dev *os.File
}

func mount(t testing.TB, access params.Access) mounted {
	t.Helper()
	m := mounted{dir: nodetest.Dir(t)}
	var err error
	if m.dev, err = fuse.OpenDevice(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.dev.Close() })
	if err := fuse.Mount(m.dev, m.dir, fuse.MountOptions{
		Source: "test", DefaultPermissions: access == params.AccessSingle, AllowOther: true,
	}); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m mounted) unmount(t testing.TB) {
	t.Helper()
	if err := (mountpoint.Mounter{}).Unmount(m.dir); err != nil {
		t.Error(err)
	}
}

// serve prepares and serves a volume.
func serve(t testing.TB, m *nodetest.Mounter, s mounter.Spec) mounted {
	t.Helper()
	if err := m.Prepare(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	mnt := mount(t, s.Context.Parameters.Access)
	if err := m.Serve(t.Context(), s.VolumeID, mnt.dev); err != nil {
		t.Fatal(err)
	}
	_ = mnt.dev.Close()
	return mnt
}

func TestServeAndRelease(t *testing.T) {
	nodetest.NoLeaks(t)
	e, m := nodetest.Export(t), nodetest.NewMounter(t)
	s := spec(t, e, "v", "vols", "v")
	mnt := serve(t, m, s)
	if err := nodetest.WriteFile(filepath.Join(mnt.dir, "f"), "hello"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(e.Root, "vols/v/f")); err != nil || string(got) != "hello" {
		t.Errorf("on the server: %q, %v", got, err)
	}
	status, err := m.Status(t.Context(), "v")
	if err != nil || status.State != mounter.Serving || !status.Connected || !status.Spec.Same(s) {
		t.Errorf("Status = %+v, %v", status, err)
	}
	mnt.unmount(t)
	if err := m.Release(t.Context(), "v"); err != nil {
		t.Error(err)
	}
	if _, err := m.Status(t.Context(), "v"); !errors.Is(err, mounter.ErrUnknownVolume) {
		t.Errorf("Status after the release: %v", err)
	}
	if err := m.Release(t.Context(), "v"); err != nil {
		t.Errorf("a second release: %v", err)
	}
}

func TestVolumesShareASession(t *testing.T) {
	nodetest.NoLeaks(t)
	e, m := nodetest.Export(t), nodetest.NewMounter(t)
	idle := nodetest.Descriptors(t)
	a, b := serve(t, m, spec(t, e, "a", "a")), serve(t, m, spec(t, e, "b", "b"))
	impatient := spec(t, e, "c", "c")
	impatient.Context.Parameters.ReconnectTimeout = time.Second
	c := serve(t, m, impatient)
	if n := e.Connections.Load(); n != 2 {
		t.Errorf("%d connections, want one for two volumes and one for a volume with another reconnectTimeout", n)
	}
	a.unmount(t)
	if err := m.Release(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if _, err := m.Stats(t.Context(), "b"); err != nil {
		t.Errorf("b after a was released: %v", err)
	}
	b.unmount(t)
	c.unmount(t)
	for _, id := range []string{"b", "c"} {
		if err := m.Release(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	nodetest.Eventually(t, "the sessions are closed with their last volumes", func() bool { return nodetest.Descriptors(t) <= idle })
}

func TestReleaseOfAMountInUse(t *testing.T) {
	nodetest.NoLeaks(t)
	e, m := nodetest.Export(t), nodetest.NewMounter(t)
	mnt := serve(t, m, spec(t, e, "v", "v"))
	f, err := unix.Open(filepath.Join(mnt.dir, "f"), unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	closeFile := sync.OnceFunc(func() { _ = unix.Close(f) })
	defer closeFile()
	mnt.unmount(t)
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.Release(ctx, "v"); !errors.Is(err, mounter.ErrInUse) {
			t.Fatalf("Release = %v, want ErrInUse", err)
		}
	}
	if all, err := m.List(t.Context()); err != nil || len(all) != 1 || all[0].State != mounter.Draining {
		t.Errorf("List = %+v, %v, want one that drains", all, err)
	}
	second := serve(t, m, spec(t, e, "v", "v"))
	if _, err := unix.Write(f, []byte("still there")); err != nil {
		t.Errorf("the open file: %v", err)
	}
	if got, err := nodetest.ReadFile(filepath.Join(second.dir, "f")); err != nil || got != "still there" {
		t.Errorf("through the second mount: %q, %v", got, err)
	}
	closeFile()
	nodetest.Eventually(t, "the first mount ends", func() bool {
		all, err := m.List(t.Context())
		return err == nil && len(all) == 1 && all[0].State == mounter.Serving
	})
}

func TestPrepareFails(t *testing.T) {
	e, m := nodetest.Export(t), nodetest.NewMounter(t)
	ok := spec(t, e, "v", "dir")
	if err := os.WriteFile(filepath.Join(e.Root, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*mounter.Spec)
		want   error
		says   string
	}{
		"an absent server":    {func(s *mounter.Spec) { s.Server = "tcp://127.0.0.1:1" }, unix.ECONNREFUSED, "127.0.0.1:1"},
		"an absent socket":    {func(s *mounter.Spec) { s.Server = "unix:///none.sock" }, unix.ENOENT, "/none.sock"},
		"a missing directory": {func(s *mounter.Spec) { s.Context.Directory = []string{"none", "at", "all"} }, unix.ENOENT, "none/at/all"},
		"a file":              {func(s *mounter.Spec) { s.Context.Directory = []string{"file"} }, unix.ENOTDIR, "file"},
		"a missing aname":     {func(s *mounter.Spec) { s.Server = e.URL + "?aname=/none" }, unix.ENOENT, "/none"},
		"another directory":   {func(s *mounter.Spec) { s.Context.Provisioned, s.Context.QIDPath = true, 1 }, mounter.ErrOtherDirectory, "dir"},
		"a way out":           {func(s *mounter.Spec) { s.Context.Directory = []string{".."} }, mounter.ErrSpec, ".."},
		"the driver's own":    {func(s *mounter.Spec) { s.Context.Directory = []string{".csi-9p"} }, mounter.ErrSpec, ".csi-9p"},
		"no server URL":       {func(s *mounter.Spec) { s.Server = "http://x" }, mounter.ErrSpec, "http://x"},
		"no volume id":        {func(s *mounter.Spec) { s.VolumeID = "" }, mounter.ErrSpec, "volume id"},
		"a negative capacity": {func(s *mounter.Spec) { s.Context.CapacityBytes = -1 }, mounter.ErrSpec, "capacity"},
	} {
		t.Run(name, func(t *testing.T) {
			nodetest.NoLeaks(t)
			s := ok
			test.change(&s)
			err := m.Prepare(t.Context(), s)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Prepare: %v, want %v and ...%s...", err, test.want, test.says)
			}
			if all, err := m.List(t.Context()); err != nil || len(all) != 0 {
				t.Errorf("left behind: %+v, %v", all, err)
			}
		})
	}
}

// listen accepts connections on a unix socket, says hello and keeps them until
// the test ends.
func listen(t *testing.T, hello string) (url string) {
	t.Helper()
	path := filepath.Join(nodetest.Dir(t), "server.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = conn.Write([]byte(hello))
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return "unix://" + path
}

func TestPrepareOnNoNinePServer(t *testing.T) {
	nodetest.NoLeaks(t)
	m := nodetest.NewMounter(t)
	url := listen(t, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
	s := mounter.Spec{VolumeID: "v", Server: url, Context: volume.Context{Parameters: params.Defaults()}}
	if err := m.Prepare(t.Context(), s); !errors.Is(err, ninep.ErrNotNineP) {
		t.Errorf("Prepare: %v, want ErrNotNineP", err)
	}
}

// A caller that gives up takes its call with it, and the volume is free.
func TestPrepareOnASilentServer(t *testing.T) {
	nodetest.NoLeaks(t)
	m := nodetest.NewMounter(t)
	url := listen(t, "")
	s := mounter.Spec{VolumeID: "v", Server: url, Context: volume.Context{Parameters: params.Defaults()}}
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { failed <- m.Prepare(ctx, s) }()
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("a call that was cancelled: %v", err)
	}
	timed, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err := m.Prepare(timed, s)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "server.sock") {
		t.Errorf("a call that timed out: %v, want the server named", err)
	}
}

func TestServeNeedsAPreparedVolume(t *testing.T) {
	nodetest.NoLeaks(t)
	e, m := nodetest.Export(t), nodetest.NewMounter(t)
	mnt := mount(t, params.AccessSingle)
	if err := m.Serve(t.Context(), "v", mnt.dev); !errors.Is(err, mounter.ErrUnknownVolume) {
		t.Errorf("Serve of an unknown volume: %v", err)
	}
	served := serve(t, m, spec(t, e, "v", "v"))
	if err := m.Serve(t.Context(), "v", mnt.dev); !errors.Is(err, unix.EBUSY) {
		t.Errorf("Serve of a served volume: %v", err)
	}
	if _, err := os.ReadDir(served.dir); err != nil {
		t.Errorf("the volume that is served: %v", err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := m.Prepare(t.Context(), spec(t, e, "w", "w")); err != nil {
		t.Fatal(err)
	}
	if err := m.Serve(t.Context(), "w", null); !errors.Is(err, mounter.ErrProtocol) {
		t.Errorf("Serve of another device: %v", err)
	}
}

func TestStats(t *testing.T) {
	e, m := nodetest.Export(t), nodetest.NewMounter(t)
	s := spec(t, e, "v", "v")
	s.Context.CapacityBytes = 64 << 20
	if err := os.WriteFile(filepath.Join(e.Root, "v", "f"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	mnt := serve(t, m, s)
	var usage mounter.Usage
	nodetest.Eventually(t, "the use is counted", func() bool {
		var err error
		usage, err = m.Stats(t.Context(), "v")
		return err == nil && !usage.Scanned.IsZero()
	})
	if usage.Bytes.Total != 64<<20 || usage.Bytes.Used < 1<<20 || usage.Bytes.Used > 2<<20 ||
		usage.Bytes.Available != usage.Bytes.Total-usage.Bytes.Used || usage.Inodes.Used != 2 {
		t.Errorf("Stats = %+v", usage)
	}
	if err := m.Resize(t.Context(), "v", 128<<20); err != nil {
		t.Fatal(err)
	}
	if usage, err := m.Stats(t.Context(), "v"); err != nil || usage.Bytes.Total != 128<<20 {
		t.Errorf("after Resize: %+v, %v", usage, err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(mnt.dir, &st); err != nil || int64(st.Blocks)*st.Bsize != 128<<20 {
		t.Errorf("statfs shows %d bytes, %v", int64(st.Blocks)*st.Bsize, err)
	}
}

// A context keeps the size at creation; the record has the one of now.
func TestAnExpandedVolumeHasItsNewSize(t *testing.T) {
	e, m := nodetest.Export(t), nodetest.NewMounter(t)
	id := volume.ID{URL: e.URL, UUID: volume.UUID("pvc-1")}
	s := spec(t, e, id.String(), "v")
	root := nodetest.Attach(t, e)
	dir, err := root.Walk(t.Context(), "v")
	if err != nil {
		t.Fatal(err)
	}
	store, err := record.Make(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	qid := record.Of(dir.QID())
	if err := store.Add(t.Context(), &record.Record{
		Version: record.Version, UUID: id.UUID, Name: "pvc-1", State: record.Ready, CapacityBytes: 2 << 30,
		Parameters: s.Context.Parameters.Values(), Directory: s.Context.Directory, QID: &qid, Created: time.Now(),
	}); err != nil {
		t.Fatal(err)
	}
	s.Context.Provisioned, s.Context.QIDPath, s.Context.CapacityBytes = true, qid.Path, 1<<30
	serve(t, m, s)
	if usage, err := m.Stats(t.Context(), s.VolumeID); err != nil || usage.Bytes.Total != 2<<30 {
		t.Errorf("Stats = %+v, %v, want the size in the record", usage, err)
	}
}

func TestAPreparedVolumeThatNobodyServesIsDropped(t *testing.T) {
	nodetest.NoLeaks(t)
	e := nodetest.Export(t)
	volumes := mounter.Volumes{Linger: time.Millisecond}
	if err := volumes.Prepare(t.Context(), spec(t, e, "v", "v")); err != nil {
		t.Fatal(err)
	}
	nodetest.Eventually(t, "the volume is dropped", func() bool {
		_, err := volumes.Stats(t.Context(), "v")
		return errors.Is(err, mounter.ErrUnknownVolume)
	})
}

func TestStatsOfTheWholeShare(t *testing.T) {
	e, m := nodetest.Export(t), nodetest.NewMounter(t)
	s := spec(t, e, "v", "v")
	s.Context.Parameters.Capacity = params.CapacityNone
	serve(t, m, s)
	usage, err := m.Stats(t.Context(), "v")
	var st unix.Statfs_t
	if err := unix.Statfs(e.Root, &st); err != nil {
		t.Fatal(err)
	}
	if err != nil || usage.Bytes.Total != int64(st.Blocks)*st.Bsize || !usage.Scanned.IsZero() {
		t.Errorf("Stats = %+v, %v, want the share's %d bytes", usage, err, int64(st.Blocks)*st.Bsize)
	}
}

func TestStatsOfALostServer(t *testing.T) {
	nodetest.NoLeaks(t)
	e, m := nodetest.Export(t), nodetest.NewMounter(t)
	mnt := serve(t, m, spec(t, e, "v", "v"))
	e.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := m.Stats(ctx, "v")
	if !errors.Is(err, ninep.ErrLost) || !strings.Contains(err.Error(), e.URL) {
		t.Errorf("Stats: %v, want ErrLost and the server named", err)
	}
	if status, err := m.Status(t.Context(), "v"); err != nil || status.Connected || status.Lost == "" {
		t.Errorf("Status = %+v, %v", status, err)
	}
	e.Start()
	nodetest.Eventually(t, "the session has its server back", func() bool {
		status, err := m.Status(t.Context(), "v")
		return err == nil && status.Connected
	})
	mnt.unmount(t)
	if err := m.Release(t.Context(), "v"); err != nil {
		t.Error(err)
	}
}
