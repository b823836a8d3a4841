package server_test

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
)

// asRoot skips a test of what only a server that is root does.
func asRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can act as others")
	}
}

func owner(t *testing.T, path string) (uid, gid uint32) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return st.Uid, st.Gid
}

func TestActsAsTheUserOfTheAttach(t *testing.T) {
	asRoot(t)
	e := newExport(t, server.Options{})
	e.write("secret", "root's", 0o600)
	e.write("public", "everybody's", 0o644)
	e.mkdir("closed", 0o700)
	e.write("closed/f", "", 0o666)
	e.mkdir("open", 0o777)
	if err := os.Chmod(e.path("open"), 0o777); err != nil {
		t.Fatal(err)
	}
	const uid = 4242
	c := e.client(uid)
	c.fails(&ninep.Tlopen{Fid: c.walk("secret")}, unix.EACCES)
	c.fails(&ninep.Tlopen{Fid: c.walk("public"), Flags: ninep.OpenReadWrite}, unix.EACCES)
	if got := c.read(c.open(0, "public"), 0, 100); got != "everybody's" {
		t.Errorf("read %q", got)
	}
	if r := ask[*ninep.Rwalk](c, &ninep.Twalk{Fid: 0, NewFid: 900, Names: []string{"closed", "f"}}); len(r.QIDs) != 1 {
		t.Errorf("walked %d names into a directory without permission", len(r.QIDs))
	}
	c.fails(&ninep.Tmkdir{Fid: 0, Name: "d", Mode: 0o755}, unix.EACCES)
	c.fails(&ninep.Tunlinkat{Dir: 0, Name: "public"}, unix.EACCES)
	c.fails(&ninep.Tsetattr{Fid: c.walk("public"), SetAttr: ninep.SetAttr{Valid: ninep.SetMode, Mode: 0o777}}, unix.EPERM)
	c.fails(&ninep.Tsetattr{Fid: c.walk("public"), SetAttr: ninep.SetAttr{Valid: ninep.SetSize}}, unix.EACCES)
	c.fails(&ninep.Tattach{Fid: 901, Afid: ninep.NoFID, UID: uid, Aname: "closed/f"}, unix.EACCES)

	dir := c.walk("open")
	ask[*ninep.Rmkdir](c, &ninep.Tmkdir{Fid: dir, Name: "d", Mode: 0o755, GID: 0})
	ask[*ninep.Rsymlink](c, &ninep.Tsymlink{Fid: dir, Name: "s", Target: "t", GID: ninep.NoUID})
	ask[*ninep.Rmknod](c, &ninep.Tmknod{Fid: dir, Name: "p", Mode: unix.S_IFIFO | 0o600, GID: uid})
	c.fails(&ninep.Tmknod{Fid: dir, Name: "null", Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 3}, unix.EPERM)
	ask[*ninep.Rlcreate](c, &ninep.Tlcreate{Fid: dir, Name: "f", Flags: ninep.OpenReadWrite, Mode: 0o600, GID: 0})
	c.write(dir, 0, "mine")
	for _, name := range []string{"d", "s", "p", "f"} {
		if u, g := owner(t, e.path("open/"+name)); u != uid || g != uid {
			t.Errorf("%s belongs to %d:%d", name, u, g)
		}
	}
	c.fails(&ninep.Tsetattr{Fid: dir, SetAttr: ninep.SetAttr{Valid: ninep.SetUID, UID: 0}}, unix.EPERM)
	c.fails(&ninep.Tattach{Fid: 902, Afid: ninep.NoFID, UID: ninep.NoUID, Uname: "nobody that there is"}, unix.EPERM)
}

// The capabilities that setfsuid(2) leaves must be gone too.
func TestUsersHaveNoCapabilities(t *testing.T) {
	asRoot(t)
	e := newExport(t, server.Options{})
	if err := os.Chmod(e.root, 0o777); err != nil {
		t.Fatal(err)
	}
	e.write("suid", "x", 0o666)
	if err := os.Chmod(e.path("suid"), 0o6777); err != nil {
		t.Fatal(err)
	}
	c := e.client(4242)
	fid := c.create("mine", 0o755)
	c.clunk(fid)
	for _, name := range []string{"security.capability", "trusted.x"} {
		// struct vfs_cap_data, revision 2: cap_setuid, effective.
		value := "\x01\x00\x00\x02\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
		x := c.walk("mine")
		ask[*ninep.Rxattrcreate](c, &ninep.Txattrcreate{Fid: x, Name: name, Size: uint64(len(value))})
		c.write(x, 0, value)
		c.fails(&ninep.Tclunk{Fid: x}, unix.EPERM)
	}
	c.write(c.open(ninep.OpenWriteOnly, "suid"), 0, "y")
	if info, err := os.Stat(e.path("suid")); err != nil || info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
		t.Errorf("a user's write left the mode %v (%v)", info.Mode(), err)
	}
}

// TestRootWithoutCapabilities is about root in a container that dropped what acting as others takes.
func TestRootWithoutCapabilities(t *testing.T) {
	asRoot(t)
	for name, capability := range map[string]uint32{"CAP_SETUID": unix.CAP_SETUID, "CAP_SETGID": unix.CAP_SETGID} {
		t.Run(name, func(t *testing.T) {
			result := make(chan error, 1)
			go func() {
				defer close(result)
				runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
				dropCapability(t, capability)
				s, err := server.New(server.Options{Root: t.TempDir()})
				if err == nil {
					s.Close()
				}
				result <- err
			}()
			if err := <-result; !errors.Is(err, server.ErrOptions) || !strings.Contains(err.Error(), "needs CAP_SETUID and CAP_SETGID") {
				t.Errorf("error %v, want one that names the capabilities", err)
			}
		})
	}
}

// dropCapability takes a capability from the calling thread.
func dropCapability(t *testing.T, capability uint32) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		t.Error(err)
	}
	caps[0].Effective &^= 1 << capability
	caps[0].Permitted &^= 1 << capability
	if err := unix.Capset(&header, &caps[0]); err != nil {
		t.Error(err)
	}
}

func TestGroups(t *testing.T) {
	asRoot(t)
	e := newExport(t, server.Options{})
	c := e.client(0)
	ask[*ninep.Rmkdir](c, &ninep.Tmkdir{Fid: 0, Name: "d", Mode: 0o775, GID: 77})
	ask[*ninep.Rsetattr](c, &ninep.Tsetattr{Fid: c.walk("d"), SetAttr: ninep.SetAttr{Valid: ninep.SetMode, Mode: 0o2775}})
	ask[*ninep.Rlcreate](c, &ninep.Tlcreate{Fid: c.walk(), Name: "f", Flags: ninep.OpenReadWrite, Mode: 0o644, GID: 78})
	ask[*ninep.Rmkdir](c, &ninep.Tmkdir{Fid: c.walk("d"), Name: "e", Mode: 0o755, GID: 79})
	for name, want := range map[string]uint32{"d": 77, "f": 78, "d/e": 77} {
		if u, g := owner(t, e.path(name)); u != 0 || g != want {
			t.Errorf("%s belongs to %d:%d, want group %d", name, u, g, want)
		}
	}
}

func TestModesAreTheClients(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	e := newExport(t, server.Options{})
	c := e.client(0)
	c.clunk(c.create("f", 0o666))
	ask[*ninep.Rmkdir](c, &ninep.Tmkdir{Fid: 0, Name: "d", Mode: 0o1777, GID: ninep.NoUID})
	for name, want := range map[string]os.FileMode{"f": 0o666, "d": os.ModeDir | os.ModeSticky | 0o777} {
		if info, err := os.Stat(e.path(name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v (%v), want %v", name, info.Mode(), err, want)
		}
	}
}

func TestSquash(t *testing.T) {
	asRoot(t)
	e := newExport(t, server.Options{Squash: &server.Squash{UID: 4242, GID: 4343}})
	e.write("secret", "", 0o600)
	if err := os.Chmod(e.root, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, uid := range []uint32{0, 1000, ninep.NoUID} {
		c := e.client(uid)
		c.fails(&ninep.Tlopen{Fid: c.walk("secret")}, unix.EACCES)
		c.clunk(c.create("f", 0o644))
		if u, g := owner(t, e.path("f")); u != 4242 || g != 4343 {
			t.Errorf("made by an attach as %d, it belongs to %d:%d", uid, u, g)
		}
		ask[*ninep.Runlinkat](c, &ninep.Tunlinkat{Dir: 0, Name: "f"})
	}
	if _, err := server.New(server.Options{Root: e.root, Squash: &server.Squash{UID: ninep.NoUID}}); !errors.Is(err, server.ErrOptions) {
		t.Errorf("a squash to no user: %v", err)
	}
}

// Users served at the same time do not get into each other's way, and the threads that served them are root's again.
func TestUsersSideBySide(t *testing.T) {
	asRoot(t)
	e := newExport(t, server.Options{})
	if err := os.Chmod(e.root, 0o777); err != nil {
		t.Fatal(err)
	}
	var users sync.WaitGroup
	for i := range uint32(8) {
		c := e.client(i * 1000)
		users.Go(func() {
			name := string('a' + rune(i))
			for range 100 {
				c.clunk(c.create(name, 0o600))
				if u, _ := owner(t, e.path(name)); u != i*1000 {
					t.Errorf("user %d made a file of user %d", i*1000, u)
				}
				ask[*ninep.Runlinkat](c, &ninep.Tunlinkat{Dir: 0, Name: name})
			}
		})
	}
	users.Wait()
	var threads sync.WaitGroup
	for range 32 {
		threads.Go(func() {
			if err := os.WriteFile(e.path("root's"), nil, 0o600); err != nil {
				t.Error(err)
			}
		})
	}
	threads.Wait()
	if u, _ := owner(t, e.path("root's")); u != 0 {
		t.Errorf("a thread of this process was left as user %d", u)
	}
}
