package mount_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/lab"
)

// TestBadMount: each mistake ends `csi-9p mount` with a message that names the thing.
func TestBadMount(t *testing.T) {
	lab.NeedRoot(t)
	server := lab.Exporter(t, lab.Dir(t))
	taken := lab.Mount(t, server.URL)
	dir := lab.Dir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	closed := closedPort(t)
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no-arguments":       {nil, "URL"},
		"unknown-option":     {[]string{server.URL, dir, "-o", "colour=red"}, "colour"},
		"ill-typed-size":     {[]string{server.URL, dir, "-o", "msize=large"}, "msize"},
		"ill-typed-time":     {[]string{server.URL, dir, "-o", "reconnectTimeout=soon"}, "reconnectTimeout"},
		"ill-typed-choice":   {[]string{server.URL, dir, "-o", "cache=some"}, "cache"},
		"later-engine":       {[]string{server.URL, dir, "-o", "engine=kernel"}, "kernel"},
		"unknown-scheme":     {[]string{"gopher://127.0.0.1/", dir}, "gopher"},
		"later-scheme":       {[]string{"virtio://tag", dir}, "virtio"},
		"no-server":          {[]string{"tcp://" + closed, dir}, closed},
		"no-socket":          {[]string{"unix://" + dir + "/none", dir}, dir + "/none"},
		"no-9p":              {[]string{"tcp://" + httpServer(t), dir}, "9P"},
		"missing-aname":      {[]string{server.URL + "/no/such/tree", dir}, "/no/such/tree"},
		"missing-target":     {[]string{server.URL, dir + "/missing"}, dir + "/missing"},
		"target-is-a-file":   {[]string{server.URL, file}, file},
		"target-is-mounted":  {[]string{server.URL, taken.Dir}, taken.Dir},
		"aname-given-twice":  {[]string{server.URL + "/a", dir, "-o", "aname=/b"}, "aname"},
		"msize-out-of-range": {[]string{server.URL, dir, "-o", "msize=100"}, "msize"},
	} {
		t.Run(name, func(t *testing.T) { fails(t, test.want, append([]string{"mount", "--foreground"}, test.args...)...) })
	}
	if _, err := os.ReadDir(taken.Dir); err != nil {
		t.Errorf("the mount that was there: %v", err)
	}
}

// TestBadServe is the same for `csi-9p serve`.
func TestBadServe(t *testing.T) {
	dir := lab.Dir(t)
	const any = "tcp://127.0.0.1:0"
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no-directory":      {[]string{"--listen", any}, "DIR"},
		"missing-directory": {[]string{"--listen", any, dir + "/missing"}, dir + "/missing"},
		"no-listener":       {[]string{dir}, "--listen"},
		"bad-address":       {[]string{"--listen", "tcp://127.0.0.1:seven", dir}, "seven"},
		"bad-scheme":        {[]string{"--listen", "gopher://127.0.0.1", dir}, "gopher"},
		"bad-squash":        {[]string{"--listen", any, "--squash", "nobody", dir}, "squash"},
		"bad-allow":         {[]string{"--listen", any, "--allow", "everyone", dir}, "everyone"},
	} {
		t.Run(name, func(t *testing.T) { fails(t, test.want, append([]string{"serve"}, test.args...)...) })
	}
}

// fails runs csi-9p, which must end by itself with an error that says want.
func fails(t *testing.T, want string, args ...string) {
	t.Helper()
	p := lab.Start(t, exec.Command(lab.Binary(t), args...))
	var exit *exec.ExitError
	if err := p.Wait(30 * time.Second); !errors.As(err, &exit) {
		t.Fatalf("csi-9p %q: %v, want an exit status\n%s", args, err, p.Output())
	}
	if !strings.Contains(p.Output(), want) {
		t.Errorf("csi-9p %q said\n%s\nwant %q in it", args, p.Output(), want)
	}
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// httpServer answers whatever it is sent with an HTTP error.
func httpServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 100))
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	return l.Addr().String()
}

// TestLongName: 255 bytes are a name, 256 are not.
func TestLongName(t *testing.T) {
	forServers(t, func(t *testing.T, server *lab.Server) {
		mount := lab.Mount(t, server.URL)
		put(t, filepath.Join(mount.Dir, strings.Repeat("n", 255)), "data")
		sees(t, filepath.Join(mount.Dir, strings.Repeat("n", 255)), "data")
		for _, n := range []int{256, 300} {
			long := filepath.Join(mount.Dir, strings.Repeat("n", n))
			if err := os.Mkdir(long, 0o755); !errors.Is(err, unix.ENAMETOOLONG) {
				t.Errorf("mkdir of %d bytes: %v", n, err)
			}
			if _, err := os.Stat(long); !errors.Is(err, unix.ENAMETOOLONG) {
				t.Errorf("stat of %d bytes: %v", n, err)
			}
		}
	})
}

// TestReadOnlyShare: every change is refused with EROFS, everything can be read.
func TestReadOnlyShare(t *testing.T) {
	root := lab.Dir(t)
	put(t, filepath.Join(root, "f"), "data")
	server := lab.Exporter(t, root, "--readonly")
	f := filepath.Join(lab.Mount(t, server.URL).Dir, "f")
	sees(t, f, "data")
	for what, err := range map[string]error{
		"write":   os.WriteFile(f, []byte("x"), 0o644),
		"create":  os.WriteFile(f+"2", []byte("x"), 0o644),
		"mkdir":   os.Mkdir(f+"2", 0o755),
		"unlink":  os.Remove(f),
		"rename":  os.Rename(f, f+"2"),
		"symlink": os.Symlink("x", f+"2"),
		"link":    os.Link(f, f+"2"),
		"chmod":   os.Chmod(f, 0o600),
	} {
		if !errors.Is(err, unix.EROFS) {
			t.Errorf("%s: %v, want EROFS", what, err)
		}
	}
	sees(t, filepath.Join(root, "f"), "data")
}

// TestFullDisk: a full disk is ENOSPC to whoever writes, and room can be made.
func TestFullDisk(t *testing.T) {
	lab.NeedRoot(t)
	for name, serve := range map[string]func(testing.TB, string) *lab.Server{
		"exporter": func(tb testing.TB, root string) *lab.Server { return lab.Exporter(tb, root) }, "diod": lab.Diod,
	} {
		t.Run(name, func(t *testing.T) {
			root := lab.SmallDisk(t, 4<<20)
			dir := lab.Mount(t, serve(t, root).URL).Dir
			err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, 16<<20), 0o644)
			if !errors.Is(err, unix.ENOSPC) {
				t.Fatalf("16 MiB onto a disk of 4: %v", err)
			}
			if err := os.Remove(filepath.Join(dir, "big")); err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(dir, "small"), "data")
			sees(t, filepath.Join(dir, "small"), "data")
		})
	}
}
