package server_test

import (
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
)

// inClassic runs a test in both of Plan 9's dialects, with an export and a client that is the process's user.
func inClassic(t *testing.T, test func(t *testing.T, e *export, c *client)) {
	for _, d := range []ninep.Dialect{ninep.DialectU, ninep.DialectLegacy} {
		t.Run(d.String(), func(t *testing.T) {
			e := newExport(t, server.Options{})
			test(t, e, e.speaker(d, strconv.Itoa(os.Getuid())))
		})
	}
}

// openMode walks to a file and opens it.
func (c *client) openMode(mode uint8, names ...string) ninep.FID {
	c.t.Helper()
	fid := c.walk(names...)
	ask[*ninep.Ropen](c, &ninep.Topen{Fid: fid, Mode: mode})
	return fid
}

// createMode makes a file in the root.
func (c *client) createMode(name string, perm ninep.StatMode, mode uint8, extension string) ninep.FID {
	c.t.Helper()
	fid := c.walk()
	ask[*ninep.Rcreate](c, &ninep.Tcreate{Fid: fid, Name: name, Perm: perm, Mode: mode, Extension: extension})
	return fid
}

func (c *client) stat(fid ninep.FID) ninep.Stat {
	c.t.Helper()
	return ask[*ninep.Rstat](c, &ninep.Tstat{Fid: fid}).Stat
}

// wstat is a Twstat that changes what edit does to a description that changes nothing.
func wstat(fid ninep.FID, edit func(*ninep.Stat)) *ninep.Twstat {
	s := ninep.UntouchedStat()
	edit(&s)
	return &ninep.Twstat{Fid: fid, Stat: s}
}

// entries reads an open directory to its end, count bytes at a time.
func (c *client) entries(fid ninep.FID, count uint32) []ninep.Stat {
	c.t.Helper()
	var all []ninep.Stat
	for offset := uint64(0); ; {
		data := ask[*ninep.Rread](c, &ninep.Tread{Fid: fid, Offset: offset, Count: count}).Data
		if len(data) == 0 {
			return all
		}
		if len(data) > int(count) {
			c.t.Fatalf("%d bytes of entries, %d asked", len(data), count)
		}
		for offset += uint64(len(data)); len(data) > 0; {
			s, rest, err := c.dialect.NextStat(data)
			if err != nil {
				c.t.Fatal(err)
			}
			all, data = append(all, s), rest
		}
	}
}

// mode is a file's st_mode on the host.
func (e *export) mode(name string) uint32 {
	e.t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(e.path(name), &st); err != nil {
		e.t.Fatal(err)
	}
	return st.Mode
}

func (e *export) exists(name string) bool {
	_, err := os.Lstat(e.path(name))
	return err == nil
}

func TestClassicErrors(t *testing.T) {
	inClassic(t, func(t *testing.T, _ *export, c *client) {
		reply, ok := c.call(&ninep.Twalk{Fid: 0, NewFid: 9, Names: []string{"missing"}}).(*ninep.Rerror)
		want := ninep.Rerror{Ename: "No such file or directory"}
		if c.dialect == ninep.DialectU {
			want.Errno = uint32(unix.ENOENT)
		}
		if !ok || *reply != want {
			t.Errorf("answered %+v, want %+v", reply, want)
		}
		c.fails(&ninep.Tauth{Afid: 9, Uname: "root", UID: ninep.NoUID}, unix.ENOENT)
		c.fails(&ninep.Tstat{Fid: 99}, unix.EBADF)
	})
}

// Each dialect knows its own messages, and is whole without the others'.
func TestMessagesOfOtherDialects(t *testing.T) {
	e := newExport(t, server.Options{})
	of := map[bool][]ninep.Message{
		true:  {&ninep.Tgetattr{}, &ninep.Tlopen{}, &ninep.Tstatfs{}, &ninep.Tlock{}, &ninep.Txattrwalk{NewFid: 5}, &ninep.Tfsync{}},
		false: {&ninep.Topen{}, &ninep.Tcreate{Name: "x"}, &ninep.Tstat{}, &ninep.Twstat{Stat: ninep.UntouchedStat()}},
	}
	for _, d := range []ninep.Dialect{ninep.DialectL, ninep.DialectU, ninep.DialectLegacy} {
		c := e.speaker(d, "0")
		for _, m := range of[d != ninep.DialectL] {
			c.fails(m, unix.EOPNOTSUPP)
		}
		ask[*ninep.Rwalk](c, &ninep.Twalk{Fid: 0, NewFid: 1})
	}
}

func TestClassicOpen(t *testing.T) {
	inClassic(t, func(t *testing.T, e *export, c *client) {
		e.write("f", "content", 0o644)
		e.mkdir("d", 0o755)
		fid := c.openMode(ninep.ClassicRead, "f")
		if got := c.read(fid, 0, 100); got != "content" {
			t.Errorf("read %q", got)
		}
		c.fails(&ninep.Twrite{Fid: fid, Data: []byte("x")}, unix.EBADF)
		c.fails(&ninep.Topen{Fid: fid, Mode: ninep.ClassicRead}, unix.EBUSY)
		fid = c.openMode(ninep.ClassicWrite|ninep.ClassicTrunc, "f")
		c.fails(&ninep.Tread{Fid: fid, Count: 1}, unix.EBADF)
		c.write(fid, 2, "new")
		if got := e.read("f"); got != "\x00\x00new" {
			t.Errorf("the file has %q", got)
		}
		for _, mode := range []uint8{
			ninep.ClassicWrite, ninep.ClassicRDWR, ninep.ClassicTrunc, ninep.ClassicRClose, ninep.ClassicExec | ninep.ClassicTrunc,
		} {
			c.fails(&ninep.Topen{Fid: c.walk("d"), Mode: mode}, unix.EISDIR)
		}
		for _, mode := range []uint8{0x04, 0x08, 0x20} {
			c.fails(&ninep.Topen{Fid: c.walk("f"), Mode: mode}, unix.EINVAL)
		}
		c.openMode(ninep.ClassicExec, "d")
		c.fails(&ninep.Topen{Fid: c.walk("f"), Mode: ninep.ClassicExec}, unix.EACCES)
		if err := os.Chmod(e.path("f"), 0o755); err != nil {
			t.Fatal(err)
		}
		if got := c.read(c.openMode(ninep.ClassicExec, "f"), 2, 100); got != "new" {
			t.Errorf("read %q", got)
		}
	})
}

func TestClassicAppend(t *testing.T) {
	e := newExport(t, server.Options{})
	e.write("f", "old", 0o644)
	c := e.speaker(ninep.DialectU, "0")
	c.write(c.openMode(ninep.ClassicWrite|ninep.ClassicAppend, "f"), 0, "new")
	if got := e.read("f"); got != "oldnew" {
		t.Errorf("the file has %q", got)
	}
	c = e.speaker(ninep.DialectLegacy, "0")
	c.fails(&ninep.Topen{Fid: c.walk("f"), Mode: ninep.ClassicWrite | ninep.ClassicAppend}, unix.EINVAL)
}

func TestRemoveOnClose(t *testing.T) {
	inClassic(t, func(t *testing.T, e *export, c *client) {
		e.write("clunked", "x", 0o644)
		e.write("renamed", "x", 0o644)
		e.write("removed", "x", 0o644)
		e.write("lost", "x", 0o644)
		fid := c.openMode(ninep.ClassicRClose, "clunked")
		if !e.exists("clunked") {
			t.Error("gone before its fid")
		}
		c.clunk(fid)
		fid = c.openMode(ninep.ClassicRClose, "renamed")
		if err := os.Rename(e.path("renamed"), e.path("other")); err != nil {
			t.Fatal(err)
		}
		e.write("renamed", "another", 0o644)
		c.clunk(fid)
		ask[*ninep.Rremove](c, &ninep.Tremove{Fid: c.openMode(ninep.ClassicRClose, "removed")})
		c.clunk(c.createMode("made", 0o644, ninep.ClassicRDWR|ninep.ClassicRClose, ""))
		for _, name := range []string{"clunked", "other", "removed", "made"} {
			if e.exists(name) {
				t.Errorf("%s is still there", name)
			}
		}
		if e.read("renamed") != "another" {
			t.Error("removed another file of that name")
		}
		c.openMode(ninep.ClassicRClose, "lost")
		c.version(8192)
		if e.exists("lost") {
			t.Error("still there after the session has ended")
		}
	})
}

func TestClassicCreate(t *testing.T) {
	inClassic(t, func(t *testing.T, e *export, c *client) {
		e.write("exists", "old", 0o644)
		fid := c.createMode("f", 0o600, ninep.ClassicRDWR, "")
		c.write(fid, 0, "data")
		if got := c.read(fid, 0, 10) + e.read("f"); got != "datadata" {
			t.Errorf("read %q", got)
		}
		c.fails(&ninep.Tcreate{Fid: fid, Name: "g"}, unix.ENOTDIR)
		for _, name := range []string{"exists", "f"} {
			c.fails(&ninep.Tcreate{Fid: 0, Name: name, Mode: ninep.ClassicTrunc | ninep.ClassicWrite}, unix.EEXIST)
		}
		if e.read("exists") != "old" {
			t.Error("truncated what exists")
		}
		c.write(c.createMode("unreadable", 0, ninep.ClassicWrite, ""), 0, "x")
		for _, name := range []string{"", ".", "..", "a/b", "/x", "a\x00b"} {
			c.fails(&ninep.Tcreate{Fid: 0, Name: name, Perm: 0o644}, unix.EINVAL)
		}
		for _, bit := range []ninep.StatMode{ninep.DMAppend, ninep.DMExcl, ninep.DMAuth, ninep.DMTmp, 0x10000000, 0x1000} {
			c.fails(&ninep.Tcreate{Fid: 0, Name: "x", Perm: bit | 0o644}, unix.EOPNOTSUPP)
		}
		ask[*ninep.Rread](c, &ninep.Tread{Fid: c.createMode("d", ninep.DMDir|0o755, ninep.ClassicRead, ""), Count: 100})
		c.fails(&ninep.Tcreate{Fid: c.openMode(0, "d"), Name: "x"}, unix.EBUSY)
		for _, mode := range []uint8{ninep.ClassicWrite, ninep.ClassicRDWR, ninep.ClassicTrunc, ninep.ClassicRClose} {
			c.fails(&ninep.Tcreate{Fid: 0, Name: "x", Perm: ninep.DMDir | 0o755, Mode: mode}, unix.EISDIR)
		}
		if e.exists("x") {
			t.Error("made in spite of an error")
		}
	})
}

// A file of 9P2000 has no more permissions than its directory, and its group (open(5)); one of 9P2000.u has what was asked for.
func TestClassicPermissions(t *testing.T) {
	asRoot(t)
	const uid = 4242
	for _, test := range []struct {
		dialect  ninep.Dialect
		dir      os.FileMode
		perm     ninep.StatMode
		want     uint32
		wantsGID uint32
	}{
		{ninep.DialectLegacy, 0o777, 0o666, unix.S_IFREG | 0o666, 77},
		{ninep.DialectLegacy, 0o700, 0o666, unix.S_IFREG | 0o600, 77},
		{ninep.DialectLegacy, 0o700, 0o777, unix.S_IFREG | 0o711, 77},
		{ninep.DialectLegacy, 0o750, ninep.DMDir | 0o777, unix.S_IFDIR | 0o750, 77},
		{ninep.DialectLegacy, 0o700, ninep.DMDir | 0o333, unix.S_IFDIR | 0o300, 77},
		{ninep.DialectU, 0o700, 0o666, unix.S_IFREG | 0o666, uid},
		{ninep.DialectU, 0o700, ninep.DMDir | 0o777, unix.S_IFDIR | 0o777, uid},
		{ninep.DialectU, 0o700, ninep.DMDir | ninep.DMSetVTX | 0o111, unix.S_IFDIR | 0o1111, uid},
		{ninep.DialectU, 0o700, ninep.DMSetUID | ninep.DMSetGID | 0o755, unix.S_IFREG | 0o6755, uid},
	} {
		e := newExport(t, server.Options{})
		e.mkdir("d", test.dir)
		if err := os.Chown(e.path("d"), uid, 77); err != nil {
			t.Fatal(err)
		}
		c := e.speaker(test.dialect, strconv.Itoa(uid))
		ask[*ninep.Rcreate](c, &ninep.Tcreate{Fid: c.walk("d"), Name: "x", Perm: test.perm})
		u, g := owner(t, e.path("d/x"))
		if mode := e.mode("d/x"); mode != test.want || u != uid || g != test.wantsGID {
			t.Errorf("%+v: mode %o, owner %d:%d", test, mode, u, g)
		}
	}
}

func TestCreateSpecials(t *testing.T) {
	asRoot(t)
	e := newExport(t, server.Options{})
	e.write("f", "content", 0o644)
	c := e.speaker(ninep.DialectU, "0")
	target := c.walk("f")
	for _, s := range []struct {
		name, extension string
		bit             ninep.StatMode
		want            uint32
		says            string
	}{
		{"link", "../away", ninep.DMSymlink, unix.S_IFLNK | 0o777, "../away"},
		{"pipe", "", ninep.DMNamedPipe, unix.S_IFIFO | 0o640, ""},
		{"socket", "", ninep.DMSocket, unix.S_IFSOCK | 0o640, ""},
		{"char", "c 1 3", ninep.DMDevice, unix.S_IFCHR | 0o640, "c 1 3"},
		{"block", "b 7 300", ninep.DMDevice, unix.S_IFBLK | 0o640, "b 7 300"},
		{"hard", fmt.Sprintf("%d\n", target), ninep.DMLink, unix.S_IFREG | 0o644, "HARDLINKCOUNT 2"},
	} {
		fid := c.createMode(s.name, s.bit|0o640, 0, s.extension)
		if mode := e.mode(s.name); mode != s.want {
			t.Errorf("%s has mode %o, want %o", s.name, mode, s.want)
		}
		if got := c.stat(fid); got.Extension != s.says || got.Name != s.name {
			t.Errorf("%s: %+v", s.name, got)
		}
		c.fails(&ninep.Tread{Fid: fid, Count: 10}, unix.EBADF)
		c.fails(&ninep.Tcreate{Fid: 0, Name: s.name, Perm: s.bit | 0o640, Extension: s.extension}, unix.EEXIST)
		if s.bit != ninep.DMLink {
			c.fails(&ninep.Topen{Fid: fid}, unix.ENXIO, unix.ELOOP)
		}
	}
	for _, s := range []ninep.Tcreate{
		{Perm: ninep.DMDevice}, {Perm: ninep.DMDevice, Extension: "x 1 3"}, {Perm: ninep.DMDevice, Extension: "c 1"},
		{Perm: ninep.DMDevice, Extension: "c -1 3"}, {Perm: ninep.DMLink, Extension: "no number"}, {Perm: ninep.DMLink},
		{Perm: ninep.DMDir | ninep.DMSymlink, Extension: "x"}, {Perm: ninep.DMSymlink, Extension: "a\x00b"},
		{Perm: ninep.DMNamedPipe, Mode: ninep.ClassicRClose},
	} {
		s.Name = "x"
		c.fails(&s, unix.EINVAL)
	}
	c.fails(&ninep.Tcreate{Fid: 0, Name: "x", Perm: ninep.DMSymlink}, unix.ENOENT)
	c.fails(&ninep.Tcreate{Fid: 0, Name: "x", Perm: ninep.DMLink, Extension: "0"}, unix.EPERM)
	c.fails(&ninep.Tcreate{Fid: 0, Name: "x", Perm: ninep.DMLink, Extension: "999"}, unix.EBADF)
	plain := e.speaker(ninep.DialectLegacy, "0")
	for _, bit := range []ninep.StatMode{ninep.DMSymlink, ninep.DMLink, ninep.DMDevice, ninep.DMNamedPipe, ninep.DMSocket, ninep.DMSetUID} {
		plain.fails(&ninep.Tcreate{Fid: 0, Name: "x", Perm: bit | 0o644}, unix.EOPNOTSUPP)
	}
	if e.exists("x") {
		t.Error("made in spite of an error")
	}
}

func TestClassicStat(t *testing.T) {
	inClassic(t, func(t *testing.T, e *export, c *client) {
		e.write("f", "content", 0o640)
		e.mkdir("d", 0o751)
		if err := os.Symlink("target", e.path("s")); err != nil {
			t.Fatal(err)
		}
		when := time.Unix(1111111111, 5)
		if err := os.Chtimes(e.path("f"), when.Add(time.Hour), when); err != nil {
			t.Fatal(err)
		}
		me, err := user.Current()
		if err != nil {
			t.Fatal(err)
		}
		f := c.stat(c.walk("f"))
		if f.Name != "f" || f.Mode != 0o640 || f.Length != 7 || f.UID != me.Username || f.Mtime != 1111111111 || f.Atime != 1111111111+3600 {
			t.Errorf("f: %+v", f)
		}
		if f.QID.Type != 0 || f.Kind != 0 || f.Dev != 0 || f.MUID != "" {
			t.Errorf("f: %+v", f)
		}
		d := c.stat(c.walk("d"))
		if d.Name != "d" || d.Mode != ninep.DMDir|0o751 || d.Length != 0 || d.QID.Type != ninep.QTDir {
			t.Errorf("d: %+v", d)
		}
		if root := c.stat(0); root.Name != "/" || root.Mode != ninep.DMDir|0o755 {
			t.Errorf("the root: %+v", root)
		}
		link := c.stat(c.walk("s"))
		if c.dialect == ninep.DialectU {
			if f.Extension != "HARDLINKCOUNT 1" || f.NUID != uint32(os.Getuid()) || f.NGID != uint32(os.Getgid()) {
				t.Errorf("f: %+v", f)
			}
			if link.Mode&ninep.DMSymlink == 0 || link.Extension != "target" || link.QID.Type != ninep.QTSymlink {
				t.Errorf("the link: %+v", link)
			}
		} else if link.Mode != 0o777 || link.QID.Type != 0 {
			t.Errorf("the link: %+v", link)
		}
		fid := c.openMode(0, "f")
		if err := os.Rename(e.path("f"), e.path("g")); err != nil {
			t.Fatal(err)
		}
		if got := c.stat(fid).Name; got != "g" {
			t.Errorf("a renamed file has the name %q", got)
		}
		if err := os.Remove(e.path("g")); err != nil {
			t.Fatal(err)
		}
		if got := c.stat(fid).Name; got != "g" {
			t.Errorf("a removed file has the name %q", got)
		}
	})
}

func TestClassicDirectory(t *testing.T) {
	inClassic(t, func(t *testing.T, e *export, c *client) {
		var want []string
		for i := range 300 {
			want = append(want, fmt.Sprintf("entry-%d-%s", i, strings.Repeat("x", i%100)))
			e.write(want[i], strings.Repeat("y", i), 0o600)
		}
		e.mkdir("sub", 0o700)
		want = append(want, "sub")
		slices.Sort(want)
		fid := c.openMode(0)
		for _, count := range []uint32{300, 1000, 8192, 1 << 20} {
			var names []string
			for _, s := range c.entries(fid, count) {
				names = append(names, s.Name)
				if s != c.stat(c.walk(s.Name)) {
					t.Fatalf("entry %+v, stat %+v", s, c.stat(c.walk(s.Name)))
				}
			}
			if slices.Sort(names); !slices.Equal(names, want) {
				t.Errorf("count %d: %d entries, want %d", count, len(names), len(want))
			}
		}
		first := c.read(fid, 0, 1000)
		for _, offset := range []uint64{1, uint64(len(first)) - 1, uint64(len(first)) + 1, 1 << 62, 1<<64 - 1} {
			c.fails(&ninep.Tread{Fid: fid, Offset: offset, Count: 1000}, unix.EINVAL)
		}
		c.fails(&ninep.Tread{Fid: fid, Offset: uint64(len(first)), Count: 10}, unix.EINVAL)
		if c.read(fid, uint64(len(first)), 1000) == first {
			t.Error("the second part is the first again")
		}
		if c.read(fid, 0, 1000) != first {
			t.Error("from the beginning it reads otherwise")
		}
		c.fails(&ninep.Twrite{Fid: fid, Data: []byte("x")}, unix.EBADF)
	})
}

// Who may list a directory but not search it is told nothing of its files.
func TestClassicDirectoryAsUser(t *testing.T) {
	asRoot(t)
	e := newExport(t, server.Options{})
	e.mkdir("d", 0o777)
	e.write("d/f", "content", 0o600)
	if err := os.Chmod(e.path("d"), 0o744); err != nil {
		t.Fatal(err)
	}
	c := e.speaker(ninep.DialectU, "4242")
	c.fails(&ninep.Tread{Fid: c.openMode(0, "d"), Count: 1000}, unix.EACCES)
}

func TestWstat(t *testing.T) {
	asRoot(t)
	inClassic(t, func(t *testing.T, e *export, c *client) {
		e.write("f", "content", 0o644)
		if err := os.Chmod(e.path("f"), os.ModeSticky|0o644); err != nil {
			t.Fatal(err)
		}
		e.mkdir("d", 0o755)
		e.write("d/f", "", 0o644)
		fid := c.walk("f")
		ask[*ninep.Rwstat](c, wstat(fid, func(*ninep.Stat) {}))
		ask[*ninep.Rwstat](c, wstat(c.openMode(ninep.ClassicWrite, "f"), func(*ninep.Stat) {}))
		ask[*ninep.Rwstat](c, &ninep.Twstat{Fid: fid, Stat: c.stat(fid)})
		ask[*ninep.Rwstat](c, wstat(fid, func(s *ninep.Stat) { s.UID, s.GID = "0", "root" }))
		ask[*ninep.Rwstat](c, &ninep.Twstat{Fid: 0, Stat: c.stat(0)})

		ask[*ninep.Rwstat](c, wstat(fid, func(s *ninep.Stat) {
			s.Name, s.Length, s.Mtime, s.GID = "g", 3, 1234567890, "4242"
			s.Mode = 0o600 | c.stat(fid).Mode&ninep.DMSetVTX
		}))
		info, err := os.Stat(e.path("g"))
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); info.Size() != 3 || st.Mtim.Sec != 1234567890 || st.Mode != unix.S_IFREG|0o1600 || st.Gid != 4242 {
			t.Errorf("%+v", st)
		}
		dir := c.walk("d")
		ask[*ninep.Rwstat](c, wstat(dir, func(s *ninep.Stat) { s.Name, s.Length, s.Mode = "e", 0, ninep.DMDir|0o711 }))
		if mode := e.mode("e"); mode != unix.S_IFDIR|0o711 {
			t.Errorf("the directory has mode %o", mode)
		}
		c.stat(c.walk("e", "f"))
		c.fails(wstat(dir, func(s *ninep.Stat) { s.Length = 1 }), unix.EISDIR)
		c.fails(wstat(0, func(s *ninep.Stat) { s.Name = "root" }), unix.EBUSY)
		for _, name := range []string{".", "..", "a/b", "../a", "/", "a\x00b"} {
			c.fails(wstat(fid, func(s *ninep.Stat) { s.Name = name }), unix.EINVAL)
		}
		for _, mode := range []ninep.StatMode{ninep.DMDir | 0o755, ninep.DMAppend | 0o644, ninep.DMExcl, ninep.DMTmp, ninep.DMSymlink, 0x1000} {
			c.fails(wstat(fid, func(s *ninep.Stat) { s.Mode = mode }), unix.EINVAL)
		}
		for what, edit := range map[string]func(*ninep.Stat){
			"kind": func(s *ninep.Stat) { s.Kind = 1 }, "dev": func(s *ninep.Stat) { s.Dev = 1 },
			"qid path": func(s *ninep.Stat) { s.QID.Path = 1 }, "qid type": func(s *ninep.Stat) { s.QID.Type = ninep.QTDir },
			"qid version": func(s *ninep.Stat) { s.QID.Version = 1 }, "muid": func(s *ninep.Stat) { s.MUID = "root" },
			"unknown group": func(s *ninep.Stat) { s.GID = "no such group" },
		} {
			t.Run(what, func(t *testing.T) { c.fails(wstat(fid, edit), unix.EPERM) })
		}
	})
}

// TestWstatOfOneDialect: what 9P2000 refuses and 9P2000.u does.
func TestWstatOfOneDialect(t *testing.T) {
	asRoot(t)
	inClassic(t, func(t *testing.T, e *export, c *client) {
		e.write("f", "content", 0o644)
		e.write("taken", "other", 0o644)
		fid := c.walk("f")
		atime := wstat(fid, func(s *ninep.Stat) { s.Atime = 5 })
		uid := wstat(fid, func(s *ninep.Stat) { s.UID = "4242" })
		name := wstat(fid, func(s *ninep.Stat) { s.Name = "taken" })
		if c.dialect == ninep.DialectLegacy {
			c.fails(atime, unix.EPERM)
			c.fails(uid, unix.EPERM)
			c.fails(name, unix.EEXIST)
			if e.read("taken") != "other" || e.read("f") != "content" {
				t.Error("a file is lost")
			}
			return
		}
		ask[*ninep.Rwstat](c, atime)
		ask[*ninep.Rwstat](c, uid)
		ask[*ninep.Rwstat](c, name)
		if got := c.stat(fid); got.Atime != 5 || got.NUID != 4242 || got.Name != "taken" || e.read("taken") != "content" {
			t.Errorf("%+v", got)
		}
		ask[*ninep.Rwstat](c, wstat(fid, func(s *ninep.Stat) { s.UID, s.NUID, s.NGID = "root", 43, 44 }))
		if u, g := owner(t, e.path("taken")); u != 43 || g != 44 {
			t.Errorf("the owner is %d:%d", u, g)
		}
		c.fails(wstat(fid, func(s *ninep.Stat) { s.Extension = "x" }), unix.EPERM)
	})
}

// TestWstatIsAllOrNothing: of a request whose last part fails nothing is left.
func TestWstatIsAllOrNothing(t *testing.T) {
	asRoot(t)
	inClassic(t, func(t *testing.T, e *export, c *client) {
		e.write("f", "content", 0o644)
		if err := os.Chmod(e.path("f"), os.ModeSetuid|0o755); err != nil {
			t.Fatal(err)
		}
		fid := c.walk("f")
		before := c.stat(fid)
		kept := before.Mode &^ 0o777
		c.fails(wstat(fid, func(s *ninep.Stat) {
			s.Name, s.Mode, s.Mtime, s.GID, s.Length = "g", kept|0o600, 77, "4242", 1<<63
		}), unix.EFBIG)
		e.write("in the way", "", 0o644)
		dir := c.createMode("d", ninep.DMDir|0o755, 0, "")
		c.fails(wstat(dir, func(s *ninep.Stat) { s.Name, s.Mode, s.GID = "in the way", ninep.DMDir|0o700, "4242" }), unix.EEXIST, unix.ENOTDIR)
		after := c.stat(fid)
		after.QID.Version = before.QID.Version
		if after != before || e.mode("f") != unix.S_IFREG|0o4755 {
			t.Errorf("was %+v, is %+v", before, after)
		}
		if mode := e.mode("d"); mode != unix.S_IFDIR|0o755 {
			t.Errorf("the directory has mode %o", mode)
		}
		if _, g := owner(t, e.path("d")); g != 0 {
			t.Errorf("the directory has group %d", g)
		}
	})
}

func TestWstatAsUser(t *testing.T) {
	asRoot(t)
	for _, d := range []ninep.Dialect{ninep.DialectU, ninep.DialectLegacy} {
		e := newExport(t, server.Options{})
		e.write("f", "content", 0o666)
		c := e.speaker(d, "4242")
		fid := c.walk("f")
		c.fails(wstat(fid, func(s *ninep.Stat) { s.Mode = 0o600 }), unix.EPERM)
		c.fails(wstat(fid, func(s *ninep.Stat) { s.Mtime = 1 }), unix.EPERM)
		c.fails(wstat(fid, func(s *ninep.Stat) { s.GID = "4242" }), unix.EPERM)
		c.fails(wstat(fid, func(s *ninep.Stat) { s.Name = "g" }), unix.EACCES)
		c.fails(wstat(fid, func(s *ninep.Stat) { s.Name, s.Length = "g", 0 }), unix.EACCES)
		c.fails(&ninep.Tremove{Fid: c.walk("f")}, unix.EACCES)
		c.fails(&ninep.Topen{Fid: fid, Mode: ninep.ClassicRClose}, unix.EACCES)
		if e.read("f") != "content" {
			t.Error("truncated")
		}
		ask[*ninep.Rwstat](c, wstat(fid, func(s *ninep.Stat) { s.Length = 2 }))
		if e.read("f") != "co" {
			t.Errorf("truncated to %q", e.read("f"))
		}
	}
}

func TestClassicReadOnly(t *testing.T) {
	for _, d := range []ninep.Dialect{ninep.DialectU, ninep.DialectLegacy} {
		e := newExport(t, server.Options{ReadOnly: true})
		e.write("f", "content", 0o666)
		c := e.speaker(d, strconv.Itoa(os.Getuid()))
		c.fails(&ninep.Topen{Fid: c.walk("f"), Mode: ninep.ClassicWrite}, unix.EROFS)
		c.fails(&ninep.Topen{Fid: c.walk("f"), Mode: ninep.ClassicRClose}, unix.EROFS)
		c.fails(&ninep.Tcreate{Fid: 0, Name: "x"}, unix.EROFS)
		c.fails(&ninep.Tremove{Fid: c.walk("f")}, unix.EROFS)
		c.fails(wstat(c.walk("f"), func(s *ninep.Stat) { s.Mtime = 5 }), unix.EROFS)
		if got := c.read(c.openMode(0, "f"), 0, 10); got != "content" {
			t.Errorf("read %q", got)
		}
	}
}

func TestAttachByName(t *testing.T) {
	asRoot(t)
	e := newExport(t, server.Options{})
	if err := os.Chmod(e.root, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, d := range []ninep.Dialect{ninep.DialectU, ninep.DialectLegacy} {
		for name, uid := range map[string]uint32{"root": 0, "0": 0, "daemon": 1, "1": 1, "4242": 4242} {
			c := e.speaker(d, name)
			file := fmt.Sprintf("%v of %s", d, name)
			c.createMode(file, 0o600, 0, "")
			if u, _ := owner(t, e.path(file)); u != uid {
				t.Errorf("%s belongs to %d", file, u)
			}
			if got, want := c.stat(c.walk(file)).UID, map[uint32]string{0: "root", 1: "daemon", 4242: "4242"}[uid]; got != want {
				t.Errorf("%s belongs to %s, want %s", file, got, want)
			}
		}
		c := e.speaker(d, "0")
		for _, name := range []string{"", "no such user", "-1", "4294967295", "4294967296", "0x0", "1 ", "ro\x00ot"} {
			c.fails(&ninep.Tattach{Fid: 9, Afid: ninep.NoFID, Uname: name, UID: ninep.NoUID}, unix.EPERM)
		}
	}
}

// Nothing that a client says in Plan 9's dialects leads out of the export.
func TestClassicStaysInside(t *testing.T) {
	for _, d := range []ninep.Dialect{ninep.DialectU, ninep.DialectLegacy} {
		e, canary := newFenced(t, server.Options{})
		for name, target := range map[string]string{"file": canary + "/f", "dir": canary} {
			if err := os.Symlink(target, e.path(name)); err != nil {
				t.Fatal(err)
			}
		}
		c := e.speaker(d, strconv.Itoa(os.Getuid()))
		dir, file := c.walk("dir"), c.walk("file")
		for _, mode := range []uint8{ninep.ClassicRead, ninep.ClassicRDWR | ninep.ClassicTrunc, ninep.ClassicWrite | ninep.ClassicRClose} {
			c.fails(&ninep.Topen{Fid: file, Mode: mode}, unix.ELOOP)
			c.fails(&ninep.Topen{Fid: dir, Mode: mode}, unix.ELOOP)
		}
		c.fails(&ninep.Tcreate{Fid: dir, Name: "x", Perm: 0o644}, unix.ENOTDIR)
		c.fails(&ninep.Tcreate{Fid: 0, Name: "file", Perm: 0o644, Mode: ninep.ClassicRDWR}, unix.EEXIST)
		c.fails(wstat(file, func(s *ninep.Stat) { s.Length = 0 }), unix.EINVAL)
		c.fails(wstat(file, func(s *ninep.Stat) { s.Name = "../canary/f" }), unix.EINVAL)
		c.fails(wstat(file, func(s *ninep.Stat) { s.Mode = 0o600 | c.stat(file).Mode&^0o777 }), unix.EOPNOTSUPP)
		ask[*ninep.Rwstat](c, wstat(file, func(s *ninep.Stat) { s.Mtime = 99 }))
		ask[*ninep.Rwstat](c, wstat(dir, func(s *ninep.Stat) { s.Name = "moved" }))
		ask[*ninep.Rwstat](c, wstat(file, func(*ninep.Stat) {}))
		ask[*ninep.Rremove](c, &ninep.Tremove{Fid: dir})
		if e.exists("moved") {
			t.Error("the link is still there")
		}
	}
}

// A fid of one dialect is gone when the connection goes on in another.
func TestDialectChanges(t *testing.T) {
	e := newExport(t, server.Options{})
	e.write("f", "content", 0o644)
	c := e.client(uint32(os.Getuid()))
	c.open(ninep.OpenReadOnly, "f")
	for _, d := range []ninep.Dialect{ninep.DialectLegacy, ninep.DialectU, ninep.DialectLegacy} {
		c.dialect = d
		c.version(8192)
		c.fails(&ninep.Tstat{Fid: 0}, unix.EBADF)
		ask[*ninep.Rattach](c, &ninep.Tattach{Fid: 0, Afid: ninep.NoFID, Uname: strconv.Itoa(os.Getuid()), UID: ninep.NoUID})
		if got := c.read(c.openMode(0, "f"), 0, 10); got != "content" {
			t.Errorf("read %q", got)
		}
	}
	c.dialect = ninep.DialectL
	c.version(8192)
	c.attach(0, uint32(os.Getuid()), "")
	c.fails(&ninep.Tread{Fid: c.open(ninep.OpenReadOnly), Count: 100}, unix.EISDIR)
}
