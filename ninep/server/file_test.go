package server_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
)

func TestFileLife(t *testing.T) {
	e := newExport(t, server.Options{})
	c := e.client(0)
	fid := c.create("f", 0o640)
	c.write(fid, 0, "hello")
	c.write(fid, 5, ", world")
	if got := c.read(fid, 0, 100); got != "hello, world" {
		t.Errorf("read %q", got)
	}
	if got := c.read(fid, 12, 100); got != "" {
		t.Errorf("read %q at the end", got)
	}
	a := c.getattr(fid)
	if a.Mode != unix.S_IFREG|0o640 || a.Size != 12 || a.Nlink != 1 || a.Valid&ninep.AttrBasic != ninep.AttrBasic {
		t.Errorf("attributes %+v", a)
	}
	ask[*ninep.Rsetattr](c, &ninep.Tsetattr{Fid: fid, SetAttr: ninep.SetAttr{
		Valid: ninep.SetMode | ninep.SetSize | ninep.SetMtime | ninep.SetMtimeGiven,
		Mode:  0o600, Size: 5, Mtime: ninep.Timespec{Sec: 1000, Nsec: 7},
	}})
	b := c.getattr(fid)
	if b.Mode != unix.S_IFREG|0o600 || b.Size != 5 || b.Mtime != (ninep.Timespec{Sec: 1000, Nsec: 7}) {
		t.Errorf("attributes after setattr %+v", b)
	}
	if a.QID.Version == b.QID.Version {
		t.Error("the qid's version is that of before the change")
	}
	ask[*ninep.Rfsync](c, &ninep.Tfsync{Fid: fid})
	ask[*ninep.Rfsync](c, &ninep.Tfsync{Fid: fid, DataOnly: 1})
	c.clunk(fid)
	c.fails(&ninep.Tread{Fid: fid, Count: 1}, unix.EBADF)
	if got := e.read("f"); got != "hello" {
		t.Errorf("the host reads %q", got)
	}
}

func TestOpenFlags(t *testing.T) {
	e := newExport(t, server.Options{})
	e.write("f", "0123456789", 0o644)
	c := e.client(0)
	c.fails(&ninep.Tlopen{Fid: c.walk("f"), Flags: ninep.OpenAccess}, unix.EINVAL)
	c.fails(&ninep.Tlopen{Fid: c.walk("f"), Flags: ninep.OpenDirectory}, unix.ENOTDIR)
	c.fails(&ninep.Tlopen{Fid: c.walk(), Flags: ninep.OpenReadWrite}, unix.EISDIR)
	fid := c.open(ninep.OpenReadOnly, "f")
	c.fails(&ninep.Tlopen{Fid: fid}, unix.EBUSY)
	c.fails(&ninep.Twrite{Fid: fid, Data: []byte("x")}, unix.EBADF)
	fid = c.open(ninep.OpenWriteOnly|ninep.OpenAppend, "f")
	c.write(fid, 0, "ab")
	if got := e.read("f"); got != "0123456789ab" {
		t.Errorf("appended to %q", got)
	}
	fid = c.open(ninep.OpenReadWrite|ninep.OpenTrunc, "f")
	if got := c.read(fid, 0, 10); got != "" {
		t.Errorf("truncated file reads %q", got)
	}
	c.fails(&ninep.Tlcreate{Fid: c.walk(), Name: "f", Flags: ninep.OpenExcl | ninep.OpenReadWrite, Mode: 0o644}, unix.EEXIST)
	dir := c.walk()
	ask[*ninep.Rlcreate](c, &ninep.Tlcreate{Fid: dir, Name: "f", Flags: ninep.OpenReadWrite, Mode: 0o644, GID: ninep.NoUID})
	c.write(dir, 0, "through the fid that was the directory's")
}

// An O_DIRECT fid takes I/O that the host's file system cannot do directly.
func TestDirectIsAWish(t *testing.T) {
	e := newExport(t, server.Options{})
	e.write("f", strings.Repeat("x", 10000), 0o644)
	c := e.client(0)
	fid := c.walk("f")
	if r, ok := c.call(&ninep.Tlopen{Fid: fid, Flags: ninep.OpenReadWrite | ninep.OpenDirect}).(*ninep.Rlerror); ok {
		t.Skipf("the file system of %s refuses O_DIRECT: %v", e.root, unix.Errno(r.Errno))
	}
	c.write(fid, 3, "abc")
	if got := c.read(fid, 2, 5); got != "xabcx" {
		t.Errorf("read %q", got)
	}
}

func TestUnlinkedOpenFileLives(t *testing.T) {
	e := newExport(t, server.Options{})
	c := e.client(0)
	fid := c.create("f", 0o644)
	c.write(fid, 0, "alive")
	held := c.walk("f")
	ask[*ninep.Runlinkat](c, &ninep.Tunlinkat{Dir: 0, Name: "f"})
	if _, err := os.Lstat(e.path("f")); !os.IsNotExist(err) {
		t.Fatalf("the name is still there: %v", err)
	}
	c.write(fid, 5, " and well")
	if got := c.read(fid, 0, 100); got != "alive and well" {
		t.Errorf("read %q", got)
	}
	ask[*ninep.Rlopen](c, &ninep.Tlopen{Fid: held, Flags: ninep.OpenReadOnly})
	if got := c.read(held, 0, 5); got != "alive" {
		t.Errorf("a fid that was opened after the removal reads %q", got)
	}
	clone := c.walkFrom(fid)
	if a := c.getattr(clone); a.Nlink != 0 || a.Size != 14 {
		t.Errorf("attributes of the removed file: %+v", a)
	}
}

func TestReaddir(t *testing.T) {
	e := newExport(t, server.Options{})
	var want []string
	for i := range 500 {
		name := fmt.Sprintf("%03d%s", i, strings.Repeat("n", i%100))
		e.write(name, "", 0o644)
		want = append(want, name)
	}
	e.mkdir("dir", 0o755)
	want = append(want, "dir")
	if err := os.Symlink("nowhere", e.path("link")); err != nil {
		t.Fatal(err)
	}
	want = append(want, "link")
	c := e.client(0)
	dir := c.open(ninep.OpenReadOnly)
	for _, count := range []uint32{200, 4096, 1 << 20} {
		var got []string
		for _, d := range c.list(dir, count) {
			got = append(got, d.Name)
			switch {
			case d.Name == "dir" && (d.Type != unix.DT_DIR || d.QID.Type != ninep.QTDir),
				d.Name == "link" && (d.Type != unix.DT_LNK || d.QID.Type != ninep.QTSymlink):
				t.Errorf("entry %+v", d)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("with %d bytes a time: %d entries, want %d", count, len(got), len(want))
		}
	}
	entries := c.list(dir, 4096)
	for _, at := range []int{0, 17, 250, len(entries) - 2} {
		r := ask[*ninep.Rreaddir](c, &ninep.Treaddir{Fid: dir, Offset: entries[at].Offset, Count: 4096})
		if d, _, err := ninep.NextDirent(r.Data); err != nil || d.Name != entries[at+1].Name {
			t.Errorf("behind entry %d comes %q (%v), want %q", at, d.Name, err, entries[at+1].Name)
		}
		qid := c.getattr(c.walk(entries[at].Name)).QID
		if !qid.SameFile(entries[at].QID) {
			t.Errorf("%q is %v by Treaddir and %v by Tgetattr", entries[at].Name, entries[at].QID, qid)
		}
	}
	c.fails(&ninep.Treaddir{Fid: dir, Count: 26}, unix.EINVAL)
	c.fails(&ninep.Treaddir{Fid: c.walk(), Count: 4096}, unix.EBADF)
	c.fails(&ninep.Treaddir{Fid: c.open(ninep.OpenReadOnly, "dir", "..", want[0]), Count: 4096}, unix.ENOTDIR)
}

// Files of devices mounted beneath the root have inode numbers of their own.
func TestQidsAcrossDevices(t *testing.T) {
	asRoot(t)
	e := newExport(t, server.Options{})
	c := e.client(0)
	seen := map[uint64]string{c.getattr(0).QID.Path: "the root"}
	for _, name := range []string{"a", "b", "c"} {
		e.mkdir(name, 0o755)
		if err := unix.Mount("tmpfs", e.path(name), "tmpfs", 0, "size=64k"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(e.path(name), unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		e.write(name+"/f", "", 0o644)
		for _, path := range [][]string{{name}, {name, "f"}} {
			qid := c.getattr(c.walk(path...)).QID
			if twin, ok := seen[qid.Path]; ok {
				t.Errorf("%q and %s are both %v", path, twin, qid)
			}
			seen[qid.Path] = strings.Join(path, "/")
		}
		if d := c.list(c.open(0, name), 4096); len(d) != 1 || seen[d[0].QID.Path] != name+"/f" {
			t.Errorf("entries of %s: %+v", name, d)
		}
	}
}

func TestNamesAndLinks(t *testing.T) {
	e := newExport(t, server.Options{})
	c := e.client(0)
	ask[*ninep.Rmkdir](c, &ninep.Tmkdir{Fid: 0, Name: "d", Mode: 0o755, GID: ninep.NoUID})
	d := c.walk("d")
	ask[*ninep.Rsymlink](c, &ninep.Tsymlink{Fid: d, Name: "s", Target: "../../etc/passwd", GID: ninep.NoUID})
	s := c.walk("d", "s")
	if got := ask[*ninep.Rreadlink](c, &ninep.Treadlink{Fid: s}).Target; got != "../../etc/passwd" {
		t.Errorf("readlink: %q", got)
	}
	c.fails(&ninep.Tlopen{Fid: s}, unix.ELOOP)
	if r := ask[*ninep.Rwalk](c, &ninep.Twalk{Fid: 0, NewFid: 900, Names: []string{"d", "s", "x"}}); len(r.QIDs) != 2 {
		t.Errorf("walked %d names through a symbolic link", len(r.QIDs))
	}
	ask[*ninep.Rlink](c, &ninep.Tlink{Dir: 0, Fid: s, Name: "s2"})
	if target, err := os.Readlink(e.path("s2")); err != nil || target != "../../etc/passwd" {
		t.Errorf("link to a symbolic link: %q, %v", target, err)
	}
	f := c.create("f", 0o644)
	ask[*ninep.Rlink](c, &ninep.Tlink{Dir: d, Fid: f, Name: "f2"})
	if n := c.getattr(f).Nlink; n != 2 {
		t.Errorf("%d links", n)
	}
	ask[*ninep.Rrenameat](c, &ninep.Trenameat{OldDir: 0, OldName: "f", NewDir: d, NewName: "g"})
	ask[*ninep.Rrename](c, &ninep.Trename{Fid: c.walk("d", "f2"), Dir: 0, Name: "h"})
	if _, err := os.Lstat(e.path("h")); err != nil {
		t.Error(err)
	}
	c.fails(&ninep.Tunlinkat{Dir: 0, Name: "d"}, unix.EISDIR)
	c.fails(&ninep.Tunlinkat{Dir: 0, Name: "d", Flags: ninep.UnlinkDir}, unix.ENOTEMPTY)
	ask[*ninep.Rremove](c, &ninep.Tremove{Fid: c.walk("d", "g")})
	ask[*ninep.Runlinkat](c, &ninep.Tunlinkat{Dir: d, Name: "s"})
	ask[*ninep.Rremove](c, &ninep.Tremove{Fid: d})
	c.fails(&ninep.Tgetattr{Fid: d}, unix.EBADF)
	c.fails(&ninep.Tremove{Fid: 0}, unix.EBUSY)
	c.fails(&ninep.Tgetattr{Fid: 0}, unix.EBADF)
}

// A fid follows its file when others move it, and Tremove finds it where it is.
func TestFidFollowsRenames(t *testing.T) {
	e := newExport(t, server.Options{})
	e.mkdir("a/b", 0o755)
	e.write("a/b/f", "moved", 0o644)
	c := e.client(0)
	b, f := c.walk("a", "b"), c.walk("a", "b", "f")
	if err := os.Rename(e.path("a"), e.path("z")); err != nil {
		t.Fatal(err)
	}
	if got := c.getattr(c.walkFrom(b, "f")).Size; got != 5 {
		t.Errorf("size %d", got)
	}
	if up, z := c.getattr(c.walkFrom(b, "..")).QID, c.getattr(c.walk("z")).QID; up != z {
		t.Errorf("the parent is %v, want %v", up, z)
	}
	ask[*ninep.Rremove](c, &ninep.Tremove{Fid: f})
	if _, err := os.Lstat(e.path("z/b/f")); !os.IsNotExist(err) {
		t.Errorf("not removed: %v", err)
	}
}

func TestSpecialFiles(t *testing.T) {
	e := newExport(t, server.Options{})
	c := e.client(0)
	for name, mode := range map[string]uint32{"fifo": unix.S_IFIFO, "socket": unix.S_IFSOCK, "null": unix.S_IFCHR} {
		if mode == unix.S_IFCHR && os.Getuid() != 0 {
			continue
		}
		ask[*ninep.Rmknod](c, &ninep.Tmknod{Fid: 0, Name: name, Mode: mode | 0o666, Major: 1, Minor: 3, GID: ninep.NoUID})
		fid := c.walk(name)
		a := c.getattr(fid)
		if a.Mode != mode|0o666 || mode == unix.S_IFCHR && a.Rdev != unix.Mkdev(1, 3) {
			t.Errorf("%s: %+v", name, a)
		}
		c.fails(&ninep.Tlopen{Fid: fid, Flags: ninep.OpenReadWrite}, unix.ENXIO)
		c.fails(&ninep.Tlcreate{Fid: c.walk(), Name: name, Flags: ninep.OpenReadWrite}, unix.ENXIO)
		c.fails(&ninep.Tsetattr{Fid: fid, SetAttr: ninep.SetAttr{Valid: ninep.SetSize}}, unix.EINVAL)
		ask[*ninep.Rremove](c, &ninep.Tremove{Fid: fid})
	}
}

func TestXattr(t *testing.T) {
	e := newExport(t, server.Options{})
	e.write("f", "", 0o644)
	c := e.client(0)
	set := func(flags uint32, value string) ninep.Message {
		fid := c.walk("f")
		ask[*ninep.Rxattrcreate](c, &ninep.Txattrcreate{Fid: fid, Name: "user.a", Size: uint64(len(value)), Flags: flags})
		for i := range value {
			c.write(fid, uint64(i), value[i:i+1])
		}
		return c.call(&ninep.Tclunk{Fid: fid})
	}
	get := func(name string) string {
		fid, value := c.newFid(), c.walk("f")
		size := ask[*ninep.Rxattrwalk](c, &ninep.Txattrwalk{Fid: value, NewFid: fid, Name: name}).Size
		defer c.clunk(fid)
		got := c.read(fid, 0, uint32(size)+10)
		if len(got) != int(size) {
			t.Errorf("%s: %d bytes told, %d read", name, size, len(got))
		}
		return got
	}
	if m, ok := set(ninep.XattrReplace, "new").(*ninep.Rlerror); !ok || unix.Errno(m.Errno) != unix.ENODATA {
		t.Errorf("replacing what is not there: %+v", m)
	}
	set(ninep.XattrCreate, "value")
	if got := get("user.a"); got != "value" {
		t.Errorf("value %q", got)
	}
	if got := get(""); !strings.Contains(got, "user.a\x00") {
		t.Errorf("names %q", got)
	}
	set(0, "")
	if got := get("user.a"); got != "" {
		t.Errorf("value %q, want none", got)
	}
	set(ninep.XattrReplace, "")
	c.fails(&ninep.Txattrwalk{Fid: c.walk("f"), NewFid: c.newFid(), Name: "user.a"}, unix.ENODATA)

	short := c.walk("f")
	ask[*ninep.Rxattrcreate](c, &ninep.Txattrcreate{Fid: short, Name: "user.b", Size: 10})
	c.write(short, 0, "short")
	c.fails(&ninep.Twrite{Fid: short, Offset: 5, Data: []byte("too long")}, unix.ENOSPC)
	c.fails(&ninep.Tclunk{Fid: short}, unix.EINVAL)
	c.fails(&ninep.Txattrcreate{Fid: c.walk("f"), Name: "user.c", Size: 1 << 20}, unix.E2BIG)
}

func TestStatfs(t *testing.T) {
	e := newExport(t, server.Options{})
	c := e.client(0)
	var st unix.Statfs_t
	if err := unix.Statfs(e.root, &st); err != nil {
		t.Fatal(err)
	}
	got := ask[*ninep.Rstatfs](c, &ninep.Tstatfs{Fid: 0})
	if got.BlockSize != uint32(st.Bsize) || got.Blocks != st.Blocks || got.NameLength != 255 {
		t.Errorf("%+v, the host says %+v", got, st)
	}
}
