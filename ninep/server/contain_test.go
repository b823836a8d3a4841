package server_test

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
)

// newFenced makes an export with a canary directory beside its root, and checks at the end that nothing happened to it.
func newFenced(t testing.TB, o server.Options) (e *export, canary string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	canary = filepath.Join(dir, "canary")
	o.Root = filepath.Join(dir, "root")
	for _, d := range []string{canary, filepath.Join(canary, "sub"), o.Root} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"f", "sub/f"} {
		if err := os.WriteFile(filepath.Join(canary, f), []byte("untouched"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before := census(t, dir)
	t.Cleanup(func() {
		after := census(t, dir)
		for path, was := range before {
			if after[path] != was {
				t.Errorf("%s was %q and is %q", path, was, after[path])
			}
		}
		for path := range after {
			if _, ok := before[path]; !ok {
				t.Errorf("%s was made outside of the root", path)
			}
		}
	})
	return newExport(t, o), canary
}

// census tells what is beside the root.
func census(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == filepath.Join(dir, "root") {
			return filepath.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		found[path] = info.Mode().String()
		if d.Type().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			found[path] += " " + string(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestNamesThatAreNone(t *testing.T) {
	e, _ := newFenced(t, server.Options{})
	e.mkdir("d", 0o755)
	c := e.client(0)
	long := string(make([]byte, 0, 300))
	for range 300 {
		long += "n"
	}
	for _, name := range []string{"", ".", "a/b", "../canary", "/", "d/", "a\x00b", long} {
		none := []unix.Errno{unix.EINVAL, unix.ENAMETOOLONG}
		c.fails(&ninep.Twalk{Fid: 0, NewFid: 900, Names: []string{name}}, none...)
		c.fails(&ninep.Tmkdir{Fid: 0, Name: name, Mode: 0o755}, none...)
		c.fails(&ninep.Tmknod{Fid: 0, Name: name, Mode: unix.S_IFIFO}, none...)
		c.fails(&ninep.Tsymlink{Fid: 0, Name: name, Target: "x"}, none...)
		c.fails(&ninep.Tlcreate{Fid: c.walk(), Name: name, Flags: ninep.OpenReadWrite}, none...)
		c.fails(&ninep.Tunlinkat{Dir: 0, Name: name, Flags: ninep.UnlinkDir}, none...)
		c.fails(&ninep.Trenameat{OldDir: 0, OldName: name, NewDir: 0, NewName: "x"}, none...)
		c.fails(&ninep.Trenameat{OldDir: 0, OldName: "d", NewDir: 0, NewName: name}, none...)
		c.fails(&ninep.Trename{Fid: c.walk("d"), Dir: 0, Name: name}, none...)
		c.fails(&ninep.Tlink{Dir: 0, Fid: c.walk("d"), Name: name}, none...)
	}
	c.fails(&ninep.Tmkdir{Fid: 0, Name: "..", Mode: 0o755}, unix.EINVAL)
	c.fails(&ninep.Tunlinkat{Dir: c.walk("d"), Name: "..", Flags: ninep.UnlinkDir}, unix.EINVAL)
}

func TestDotDotStaysInside(t *testing.T) {
	e, _ := newFenced(t, server.Options{})
	e.mkdir("a/b", 0o755)
	e.write("a/f", "", 0o644)
	c := e.client(0)
	root := c.getattr(0).QID
	if got := c.getattr(c.walk("..", "..", "a", "..", "..")).QID; got != root {
		t.Errorf(".. of the root is %v, want the root %v", got, root)
	}
	c.attach(500, 0, "/a")
	a := c.getattr(500).QID
	if got := c.getattr(c.walkFrom(500, "b", "..", "..", "..")).QID; got != a {
		t.Errorf(".. of the attach's root is %v, want %v", got, a)
	}
	c.fails(&ninep.Twalk{Fid: c.walk("a", "f"), NewFid: 900, Names: []string{".."}}, unix.ENOTDIR)

	// A directory that is moved out of the attach has no parent in it any more.
	b := c.walkFrom(500, "b")
	if err := os.Rename(e.path("a/b"), e.path("b")); err != nil {
		t.Fatal(err)
	}
	c.fails(&ninep.Twalk{Fid: b, NewFid: 900, Names: []string{".."}}, unix.ESTALE)
}

func TestAname(t *testing.T) {
	e, _ := newFenced(t, server.Options{})
	e.mkdir("a/b", 0o755)
	if err := os.Symlink("../canary", e.path("out")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a", e.path("in")); err != nil {
		t.Fatal(err)
	}
	c := e.client(0)
	b := c.getattr(c.walk("a", "b")).QID
	for i, aname := range []string{"a/b", "/a/b", "//a//b/"} {
		if got := c.attach(ninep.FID(600+i), 0, aname); got != b {
			t.Errorf("aname %q is %v, want %v", aname, got, b)
		}
	}
	for aname, errno := range map[string]unix.Errno{
		"/none": unix.ENOENT, "/a/../..": unix.EINVAL, "out": unix.ENOTDIR, "out/sub": unix.ENOTDIR, "in/b": unix.ENOTDIR,
	} {
		c.fails(&ninep.Tattach{Fid: 700, Afid: ninep.NoFID, Aname: aname}, errno, unix.ELOOP)
	}
	c.fails(&ninep.Tattach{Fid: 700, Afid: 3}, unix.EBADF)
	c.fails(&ninep.Tauth{Afid: 701}, unix.ENOENT)
}

// Symbolic links that lead out are seen as what they are, by every message that takes a name or a fid.
func TestSymlinksAreNotFollowed(t *testing.T) {
	e, canary := newFenced(t, server.Options{})
	for name, target := range map[string]string{"file": filepath.Join(canary, "f"), "dir": canary} {
		if err := os.Symlink(target, e.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	c := e.client(0)
	if r := ask[*ninep.Rwalk](c, &ninep.Twalk{Fid: 0, NewFid: 900, Names: []string{"dir", "f"}}); len(r.QIDs) != 1 {
		t.Errorf("walked %d names", len(r.QIDs))
	}
	dir, file := c.walk("dir"), c.walk("file")
	c.fails(&ninep.Tlopen{Fid: file}, unix.ELOOP)
	c.fails(&ninep.Tlcreate{Fid: c.walk(), Name: "file", Flags: ninep.OpenReadWrite | ninep.OpenTrunc, Mode: 0o644}, unix.ELOOP)
	c.fails(&ninep.Tmkdir{Fid: dir, Name: "x"}, unix.ENOTDIR)
	c.fails(&ninep.Tunlinkat{Dir: dir, Name: "f"}, unix.ENOTDIR)
	c.fails(&ninep.Trenameat{OldDir: dir, OldName: "f", NewDir: 0, NewName: "f"}, unix.ENOTDIR)
	c.fails(&ninep.Tsetattr{Fid: file, SetAttr: ninep.SetAttr{Valid: ninep.SetSize}}, unix.EINVAL)
	c.fails(&ninep.Tsetattr{Fid: file, SetAttr: ninep.SetAttr{Valid: ninep.SetMode, Mode: 0o777}}, unix.EOPNOTSUPP)
	uid := uint32(os.Getuid())
	if uid == 0 {
		uid = 12345
	}
	ask[*ninep.Rsetattr](c, &ninep.Tsetattr{Fid: file, SetAttr: ninep.SetAttr{
		Valid: ninep.SetUID | ninep.SetMtime | ninep.SetMtimeGiven, UID: uid, Mtime: ninep.Timespec{Sec: 99}}})
	if a := c.getattr(file); a.UID != uid || a.Mtime.Sec != 99 {
		t.Errorf("the link's own attributes: %+v", a)
	}
	if info, err := os.Stat(filepath.Join(canary, "f")); err != nil || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Getuid()) {
		t.Errorf("the target's owner changed: %v, %v", info, err)
	}
	x := c.walk("file")
	ask[*ninep.Rxattrcreate](c, &ninep.Txattrcreate{Fid: x, Name: "user.a", Size: 1})
	c.write(x, 0, "x")
	c.fails(&ninep.Tclunk{Fid: x}, unix.EPERM)
	ask[*ninep.Rremove](c, &ninep.Tremove{Fid: dir})
}

// TestSwappedDirectories walks and removes while somebody swaps a directory for a symbolic link that leads out.
func TestSwappedDirectories(t *testing.T) {
	e, canary := newFenced(t, server.Options{})
	e.mkdir("real", 0o755)
	if err := os.Symlink(canary, e.path("link")); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var swaps sync.WaitGroup
	defer swaps.Wait()
	defer close(stop)
	swaps.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := unix.Renameat2(unix.AT_FDCWD, e.path("real"), unix.AT_FDCWD, e.path("link"), unix.RENAME_EXCHANGE); err != nil {
				t.Error(err)
				return
			}
		}
	})
	c := e.client(0)
	links, dirs := 0, 0
	for i := 0; i < 500 || links == 0 || dirs == 0; i++ {
		fid := c.newFid()
		qid := ask[*ninep.Rwalk](c, &ninep.Twalk{Fid: 0, NewFid: fid, Names: []string{"real"}}).QIDs[0]
		if qid.IsDir() {
			dirs++
		} else {
			links++
		}
		for _, m := range []ninep.Message{
			&ninep.Tunlinkat{Dir: fid, Name: "f"},
			&ninep.Tmkdir{Fid: fid, Name: "sub", Mode: 0o755, GID: ninep.NoUID},
			&ninep.Tunlinkat{Dir: fid, Name: "sub", Flags: ninep.UnlinkDir},
			&ninep.Tsymlink{Fid: fid, Name: "x", Target: "y", GID: ninep.NoUID},
			&ninep.Tunlinkat{Dir: fid, Name: "x"},
			&ninep.Tclunk{Fid: fid},
		} {
			c.call(m)
		}
		f := c.newFid()
		if r, ok := c.call(&ninep.Twalk{Fid: 0, NewFid: f, Names: []string{"real", "f"}}).(*ninep.Rwalk); ok && len(r.QIDs) == 2 {
			t.Fatal("walked into the canary directory")
		}
	}
}
