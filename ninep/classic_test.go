package ninep_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
)

// inClassicDialects runs a test against a Plan 9 server of 9P2000.u and of 9P2000, on a stream and with the memory for replies
// posted ahead.
func inClassicDialects(t *testing.T, test func(*testing.T, *plan9)) {
	for _, d := range everyDialect[1:] {
		for _, bare := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v posted=%v", d, !bare), func(t *testing.T) {
				s := newPlan9(t, d)
				s.bare = bare
				test(t, s)
			})
		}
	}
}

// TestClassicFiles: what a program does with files works alike in the older dialects.
func TestClassicFiles(t *testing.T) {
	inClassicDialects(t, func(t *testing.T, s *plan9) {
		session, root := s.open()
		ctx := testContext(t)
		if session.Dialect() != s.dialect {
			t.Errorf("the session speaks %v", session.Dialect())
		}
		dirQID, err := root.Mkdir(ctx, "d", 0o750, 0)
		ok(t, err)
		dir := must(root.Walk(ctx, "d"))(t)
		if !dirQID.IsDir() || dirQID != dir.QID() {
			t.Errorf("made %v, found %v", dirQID, dir.QID())
		}
		f := must(dir.Walk(ctx))(t)
		ok(t, f.Create(ctx, "f", unix.O_RDWR|unix.O_EXCL, 0o640, 0))
		want := pattern(50000)
		if n, err := f.Write(ctx, want, 0); n != len(want) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
		got := make([]byte, 60000)
		if n, err := f.Read(ctx, got, 0); err != nil || !bytes.Equal(got[:n], want) {
			t.Errorf("Read = %d, %v", n, err)
		}
		ok(t, f.Fsync(ctx, false))
		a := must(f.Getattr(ctx, ninep.AttrBasic))(t)
		if a.Mode != unix.S_IFREG|0o640 || a.Size != 50000 || a.Nlink != 1 || a.QID != f.QID() || a.Blocks != 98 || a.Valid&ninep.AttrBasic != ninep.AttrBasic {
			t.Errorf("%+v", a)
		}
		if a := must(dir.Getattr(ctx, ninep.AttrBasic))(t); a.Mode != unix.S_IFDIR|0o750 {
			t.Errorf("the directory: %+v", a)
		}
		ok(t, dir.Rename(ctx, "f", dir, "g"))
		if _, err := dir.Walk(ctx, "f"); !errors.Is(err, unix.ENOENT) {
			t.Errorf("the old name: %v", err)
		}
		if err := root.Unlink(ctx, "d", true); !errors.Is(err, unix.ENOTEMPTY) {
			t.Errorf("a directory that is not empty: %v", err)
		}
		if err := dir.Unlink(ctx, "g", true); !errors.Is(err, unix.ENOTDIR) {
			t.Errorf("a file removed as a directory: %v", err)
		}
		ok(t, dir.Unlink(ctx, "g", false))
		ok(t, root.Unlink(ctx, "d", true))
		for _, fid := range []*ninep.Fid{f, dir, root} {
			ok(t, fid.Clunk(ctx))
		}
	})
}

// TestClassicCreate: O_EXCL finds out, and without it what is there is opened, and truncated if that was asked for.
func TestClassicCreate(t *testing.T) {
	inClassicDialects(t, func(t *testing.T, s *plan9) {
		_, root := s.open()
		ctx := testContext(t)
		create := func(flags uint32) (*ninep.Fid, error) {
			f := must(root.Walk(ctx))(t)
			return f, f.Create(ctx, "f", flags, 0o600, 0)
		}
		f, err := create(unix.O_WRONLY | unix.O_EXCL)
		ok(t, err)
		_, err = f.Write(ctx, []byte("content"), 0)
		ok(t, err)
		if _, err := create(unix.O_WRONLY | unix.O_EXCL); !errors.Is(err, unix.EEXIST) {
			t.Errorf("O_EXCL: %v", err)
		}
		for _, c := range []struct {
			flags uint32
			want  string
		}{{unix.O_RDWR, "content"}, {unix.O_RDWR | unix.O_TRUNC, ""}} {
			f, err := create(c.flags)
			ok(t, err)
			buf := make([]byte, 100)
			if n, err := f.Read(ctx, buf, 0); err != nil || string(buf[:n]) != c.want || f.Path() != "/f" {
				t.Errorf("flags %#x: %q of %s, %v", c.flags, buf[:n], f.Path(), err)
			}
		}
		if f := must(root.Walk(ctx, "f"))(t); !errors.Is(f.Open(ctx, unix.O_DIRECTORY), unix.ENOTDIR) {
			t.Error("a file was opened as a directory")
		}
	})
}

// TestClassicSetattr: what Twstat can change, and nothing beside.
func TestClassicSetattr(t *testing.T) {
	inClassicDialects(t, func(t *testing.T, s *plan9) {
		_, root := s.open()
		ctx := testContext(t)
		_, err := root.Mkdir(ctx, "d", 0o755, 0)
		ok(t, err)
		f := must(root.Walk(ctx, "d"))(t)
		set := func(a ninep.SetAttr) ninep.Attr {
			t.Helper()
			ok(t, f.Setattr(ctx, a))
			return must(f.Getattr(ctx, ninep.AttrBasic))(t)
		}
		was := must(f.Getattr(ctx, ninep.AttrBasic))(t)
		if a := set(ninep.SetAttr{Valid: ninep.SetMode, Mode: 0o700}); a.Mode != unix.S_IFDIR|0o700 || a.Mtime != was.Mtime || a.UID != was.UID {
			t.Errorf("mode: %+v", a)
		}
		given := ninep.SetAttr{
			Valid: ninep.SetAtime | ninep.SetAtimeGiven | ninep.SetMtime | ninep.SetMtimeGiven,
			Atime: ninep.Timespec{Sec: 100, Nsec: 9}, Mtime: ninep.Timespec{Sec: 200, Nsec: 9},
		}
		atime := uint64(100)
		if s.dialect == ninep.DialectLegacy {
			atime = was.Atime.Sec
		}
		if a := set(given); a.Atime != (ninep.Timespec{Sec: atime}) || a.Mtime != (ninep.Timespec{Sec: 200}) {
			t.Errorf("times: %+v", a)
		}
		before := uint64(time.Now().Unix())
		if a := set(ninep.SetAttr{Valid: ninep.SetMtime}); a.Mtime.Sec < before || a.Mtime.Sec > before+60 || a.Atime.Sec != atime {
			t.Errorf("now: %+v", a)
		}
		far := given
		far.Mtime.Sec = math.MaxUint32 + 5
		if a := set(far); a.Mtime.Sec != math.MaxUint32-1 {
			t.Errorf("times that cannot be told: %+v", a)
		}
		far.Mtime.Sec = ^uint64(4) // before 1970
		if a := set(far); a.Mtime.Sec != 0 {
			t.Errorf("times that cannot be told: %+v", a)
		}
		if a := set(ninep.SetAttr{Valid: ninep.SetGID, GID: 4322}); a.GID != 4322 {
			t.Errorf("group: %+v", a)
		}
		syncs := s.count(ninep.TypeTwstat)
		ok(t, f.Setattr(ctx, ninep.SetAttr{Valid: ninep.SetUID, UID: was.UID}))
		ok(t, f.Setattr(ctx, ninep.SetAttr{Valid: ninep.SetCtime}))
		if n := s.count(ninep.TypeTwstat) - syncs; s.dialect == ninep.DialectLegacy && n != 0 {
			t.Errorf("%d Twstat for no change", n)
		}
		for _, beyond := range []ninep.SetAttr{{Valid: ninep.SetUID, UID: 4321}, {Valid: ninep.SetAtime}} {
			if err := f.Setattr(ctx, beyond); s.dialect == ninep.DialectU && err != nil || s.dialect == ninep.DialectLegacy && !errors.Is(err, unix.EOPNOTSUPP) {
				t.Errorf("%+v: %v", beyond, err)
			}
		}
		if a := must(f.Getattr(ctx, ninep.AttrBasic))(t); s.dialect == ninep.DialectU && a.UID != 4321 {
			t.Errorf("owner: %+v", a)
		}
		err = f.Setattr(ctx, ninep.SetAttr{Valid: ninep.SetMode, Mode: 0o2755})
		if a := must(f.Getattr(ctx, ninep.AttrBasic))(t); s.dialect == ninep.DialectU && (err != nil || a.Mode != unix.S_IFDIR|0o2755) {
			t.Errorf("setgid: %o, %v", a.Mode, err)
		}
		if s.dialect == ninep.DialectLegacy && !errors.Is(err, unix.EOPNOTSUPP) {
			t.Errorf("setgid: %v", err)
		}
		file := must(root.Walk(ctx))(t)
		ok(t, file.Create(ctx, "f", unix.O_RDWR, 0o600, 0))
		ok(t, file.Setattr(ctx, ninep.SetAttr{Valid: ninep.SetSize, Size: 77}))
		if a := must(file.Getattr(ctx, ninep.AttrBasic))(t); a.Size != 77 {
			t.Errorf("size: %+v", a)
		}
	})
}

// TestClassicRenameReplaces: what has the new name gives way, unless it is of the other kind.
func TestClassicRenameReplaces(t *testing.T) {
	inClassicDialects(t, func(t *testing.T, s *plan9) {
		_, root := s.open()
		ctx := testContext(t)
		for _, name := range []string{"a", "b"} {
			f := must(root.Walk(ctx))(t)
			ok(t, f.Create(ctx, name, unix.O_WRONLY, 0o600, 0))
			_, err := f.Write(ctx, []byte(name), 0)
			ok(t, err)
			ok(t, f.Clunk(ctx))
		}
		_, err := root.Mkdir(ctx, "d", 0o755, 0)
		ok(t, err)
		ok(t, root.Rename(ctx, "a", root, "b"))
		f := must(root.Walk(ctx, "b"))(t)
		ok(t, f.Open(ctx, unix.O_RDONLY))
		buf := make([]byte, 10)
		if n, err := f.Read(ctx, buf, 0); err != nil || string(buf[:n]) != "a" {
			t.Errorf("%q, %v", buf[:n], err)
		}
		if err := root.Rename(ctx, "b", root, "d"); !errors.Is(err, unix.EISDIR) {
			t.Errorf("a file over a directory: %v", err)
		}
		if err := root.Rename(ctx, "d", root, "b"); !errors.Is(err, unix.ENOTDIR) {
			t.Errorf("a directory over a file: %v", err)
		}
		if names := len(s.root.names); names != 2 {
			t.Errorf("%d names are left", names)
		}
	})
}

// TestClassicOwners: names become numbers where they are known or are numbers, and nobody's else.
func TestClassicOwners(t *testing.T) {
	s := newPlan9(t, ninep.DialectLegacy)
	_, root := s.open()
	for _, c := range []struct {
		uid, gid string
		u, g     uint32
	}{{"root", "0", 0, 0}, {"1000", "4294967294", 1000, 4294967294}, {"glenda of Plan 9", "sys of Plan 9", 65534, 65534}, {"-1", "", 65534, 65534}} {
		s.mu.Lock()
		s.root.stat.UID, s.root.stat.GID = c.uid, c.gid
		s.mu.Unlock()
		if a := must(root.Getattr(testContext(t), ninep.AttrBasic))(t); a.UID != c.u || a.GID != c.g {
			t.Errorf("%q:%q are %d:%d", c.uid, c.gid, a.UID, a.GID)
		}
	}
	attach := s.seen[1].(*ninep.Tattach)
	if attach.Uname != "root" {
		t.Errorf("attached as %q", attach.Uname)
	}
}

// TestUnixFiles: links and special files are 9P2000.u's.
func TestUnixFiles(t *testing.T) {
	s := newPlan9(t, ninep.DialectU)
	_, root := s.open()
	ctx := testContext(t)
	_, err := root.Symlink(ctx, "s", "over/there", 0)
	ok(t, err)
	link := must(root.Walk(ctx, "s"))(t)
	if to := must(link.Readlink(ctx))(t); to != "over/there" {
		t.Errorf("the link leads to %q", to)
	}
	if a := must(link.Getattr(ctx, ninep.AttrBasic))(t); a.Mode&unix.S_IFMT != unix.S_IFLNK || a.Size != 10 {
		t.Errorf("%+v", a)
	}
	for _, c := range []struct {
		name         string
		mode         uint32
		major, minor uint32
		extension    string
	}{
		{"block", unix.S_IFBLK | 0o600, 8, 300, "b 8 300"},
		{"char", unix.S_IFCHR | 0o600, 5, 1, "c 5 1"},
		{"pipe", unix.S_IFIFO | 0o640, 0, 0, ""},
		{"socket", unix.S_IFSOCK | 0o755, 0, 0, ""},
		{"setuid", unix.S_IFREG | 0o4755, 0, 0, ""},
	} {
		_, err := root.Mknod(ctx, c.name, c.mode, c.major, c.minor, 0)
		ok(t, err)
		f := must(root.Walk(ctx, c.name))(t)
		if a := must(f.Getattr(ctx, ninep.AttrBasic))(t); a.Mode != c.mode || a.Rdev != unix.Mkdev(c.major, c.minor) {
			t.Errorf("%s: mode %o, rdev %#x", c.name, a.Mode, a.Rdev)
		}
		if got := s.root.lookup(c.name).stat.Extension; got != c.extension {
			t.Errorf("%s: extension %q", c.name, got)
		}
		if _, err := f.Readlink(ctx); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s read as a link: %v", c.name, err)
		}
	}
	f := must(root.Walk(ctx))(t)
	ok(t, f.Create(ctx, "f", unix.O_RDWR, 0o600, 0))
	ok(t, root.Link(ctx, f, "g"))
	again := must(root.Walk(ctx, "g"))(t)
	if a := must(again.Getattr(ctx, ninep.AttrBasic))(t); a.Nlink != 2 || !again.QID().SameFile(f.QID()) {
		t.Errorf("two names: %+v", a)
	}
	if err := root.Link(ctx, f, "g"); !errors.Is(err, unix.EEXIST) {
		t.Errorf("a name that exists: %v", err)
	}
}

// TestClassicLacks: what a dialect has no words for is EOPNOTSUPP, and the server is not asked.
func TestClassicLacks(t *testing.T) {
	inClassicDialects(t, func(t *testing.T, s *plan9) {
		session, root := s.open()
		ctx := testContext(t)
		_, err := root.Mkdir(ctx, "d", 0o755, 0)
		ok(t, err)
		dir := must(root.Walk(ctx, "d"))(t)
		f := must(root.Walk(ctx))(t)
		ok(t, f.Create(ctx, "f", unix.O_RDWR, 0o600, 0))
		second := func(_ any, err error) error { return err }
		calls := map[string]error{
			"statfs":      second(root.Statfs(ctx)),
			"listxattr":   second(root.ListXattr(ctx)),
			"getxattr":    second(root.GetXattr(ctx, "user.a")),
			"setxattr":    root.SetXattr(ctx, "user.a", []byte("v"), 0),
			"removexattr": root.RemoveXattr(ctx, "user.a"),
			"lock":        second(f.Lock(ctx, ninep.Lock{Type: ninep.WriteLock})),
			"getlock":     second(f.GetLock(ctx, ninep.Lock{Type: ninep.WriteLock})),
		}
		if s.dialect == ninep.DialectLegacy {
			calls["symlink"] = second(root.Symlink(ctx, "s", "to", 0))
			calls["mknod"] = second(root.Mknod(ctx, "p", unix.S_IFIFO|0o600, 0, 0, 0))
			calls["link"] = root.Link(ctx, f, "g")
		}
		for name, err := range calls {
			if !errors.Is(err, unix.EOPNOTSUPP) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := root.Rename(ctx, "f", dir, "f"); !errors.Is(err, unix.EXDEV) {
			t.Errorf("to another directory: %v", err)
		}
		if _, err := f.Readlink(ctx); !errors.Is(err, unix.EINVAL) {
			t.Errorf("readlink of a file: %v", err)
		}
		features := session.Features()
		for name, support := range map[string]ninep.Support{
			"xattr": features.Xattr, "lock": features.Lock, "statfs": features.Statfs, "unlinkat": features.Unlinkat, "renameat": features.Renameat,
		} {
			if support != ninep.Unsupported {
				t.Errorf("%s is said to be %v", name, support)
			}
		}
		if _, err := root.Walk(ctx, "f"); err != nil {
			t.Errorf("after all that: %v", err)
		}
	})
}

// list reads a directory from a cookie to its end.
func list(t *testing.T, dir *ninep.Fid, cookie uint64, buf []byte) (all []ninep.Dirent) {
	t.Helper()
	for {
		data, err := dir.Readdir(testContext(t), cookie, buf)
		ok(t, err)
		if len(data) == 0 {
			return all
		}
		for len(data) > 0 {
			d, rest, err := ninep.NextDirent(data)
			ok(t, err)
			all, data, cookie = append(all, d), rest, d.Offset
		}
	}
}

// TestClassicReaddir: a directory is read with 9P2000.L's cookies, from wherever the reader wants to go on.
func TestClassicReaddir(t *testing.T) {
	inClassicDialects(t, func(t *testing.T, s *plan9) {
		_, root := s.open()
		ctx := testContext(t)
		var want []string
		for i := range 120 {
			name := fmt.Sprintf("%d%s", i, strings.Repeat("n", i))
			want = append(want, name)
			s.mu.Lock()
			s.root.names = append(s.root.names, plan9Name{name, s.file(0o644)})
			s.mu.Unlock()
		}
		s.mu.Lock()
		s.root.names[7].file = s.file(ninep.DMDir | 0o755)
		s.mu.Unlock()
		dir := must(root.Walk(ctx))(t)
		ok(t, dir.Open(ctx, unix.O_RDONLY|unix.O_DIRECTORY))
		for _, size := range []int{300, 1000, 8 << 10, 64 << 10} {
			buf := make([]byte, size)
			all := list(t, dir, 0, buf)
			var names []string
			for _, d := range all {
				names = append(names, d.Name)
			}
			if !slices.Equal(names, want) {
				t.Fatalf("%d bytes at a time: %d names of %d", size, len(names), len(want))
			}
			if all[7].Type != unix.DT_DIR || !all[7].QID.IsDir() || all[8].Type != unix.DT_REG {
				t.Errorf("%+v", all[7:9])
			}
			for _, from := range []int{0, 60, 118, 119} {
				if rest := list(t, dir, all[from].Offset, buf); !slices.Equal(rest, all[from+1:]) {
					t.Errorf("%d bytes at a time: %d entries after entry %d", size, len(rest), from)
				}
			}
		}
		sequential := s.count(ninep.TypeTread)
		list(t, dir, 0, make([]byte, 64<<10))
		if n := s.count(ninep.TypeTread) - sequential; n > 5 {
			t.Errorf("%d reads of a directory of %d entries", n, len(want))
		}
		if _, err := dir.Readdir(ctx, 0, make([]byte, 20)); !errors.Is(err, unix.EINVAL) {
			t.Errorf("no room for an entry: %v", err)
		}
	})
}

// TestClassicReconnect: fids are walked and opened again, a directory is read on from where the reader was, and a name that was
// made under the loss is not reported as another's.
func TestClassicReconnect(t *testing.T) {
	inClassicDialects(t, func(t *testing.T, s *plan9) {
		session, root := s.open()
		ctx := testContext(t)
		f := must(root.Walk(ctx))(t)
		ok(t, f.Create(ctx, "f", unix.O_RDWR|unix.O_TRUNC, 0o600, 0))
		_, err := f.Write(ctx, []byte("content"), 0)
		ok(t, err)
		for i := range 100 {
			_, err := root.Mkdir(ctx, fmt.Sprint("d", i), 0o755, 0)
			ok(t, err)
		}
		dir := must(root.Walk(ctx))(t)
		ok(t, dir.Open(ctx, unix.O_RDONLY))
		data := must(dir.Readdir(ctx, 0, make([]byte, 600)))(t)
		first, _, err := ninep.NextDirent(data)
		ok(t, err)

		s.cut()
		buf := make([]byte, 100)
		if n, err := f.Read(ctx, buf, 0); err != nil || string(buf[:n]) != "content" {
			t.Errorf("%q, %v", buf[:n], err)
		}
		if rest := list(t, dir, first.Offset, make([]byte, 4096)); len(rest) != 100 {
			t.Errorf("%d entries after the first", len(rest))
		}
		if session.Dialect() != s.dialect {
			t.Errorf("it speaks %v now", session.Dialect())
		}

		var once bool
		s.mu.Lock()
		s.answer = func(m ninep.Message) ninep.Message {
			if m.Type() == ninep.TypeTcreate && !once {
				once, s.hangUp = true, true
			}
			return nil
		}
		s.mu.Unlock()
		if _, err := root.Mkdir(ctx, "made", 0o755, 0); err != nil {
			t.Errorf("made as the connection was lost: %v", err)
		}
	})
}

// TestReconnectKeepsTheDialect: a server that has come back with another dialect is not taken.
func TestReconnectKeepsTheDialect(t *testing.T) {
	s := newPlan9(t, ninep.DialectU)
	changed := make(chan ninep.Status, 100)
	session, err := ninep.Open(testContext(t), ninep.Config{
		Dial: s.dial, Dialects: everyDialect, ReconnectTimeout: time.Minute,
		Changed: func(status ninep.Status) { changed <- status },
	})
	ok(t, err)
	t.Cleanup(func() { _ = session.Close() })
	if session.Dialect() != ninep.DialectU {
		t.Fatalf("the best it speaks is %v", session.Dialect())
	}
	s.mu.Lock()
	s.answer = func(m ninep.Message) ninep.Message {
		if v, ok := m.(*ninep.Tversion); ok {
			return &ninep.Rversion{Msize: v.Msize, Version: "9P2000"}
		}
		return nil
	}
	s.mu.Unlock()
	s.cut()
	for status := range changed {
		if status.Err != nil && strings.Contains(status.Err.Error(), `it answered version "9P2000" to "9P2000.u"`) {
			break
		}
	}
	s.mu.Lock()
	s.answer = nil
	s.mu.Unlock()
	if _, err := session.Attach(testContext(t), ninep.AttachOptions{}); err != nil {
		t.Error(err)
	}
}

// TestDialects: the one asked for is insisted upon, and of several the first is taken that the server agrees to.
func TestDialects(t *testing.T) {
	const l, u, old = ninep.DialectL, ninep.DialectU, ninep.DialectLegacy
	for _, c := range []struct {
		speaks string // and nothing else; it answers 9P2000 to what it does not know, or "unknown"
		other  string
		wanted []ninep.Dialect
		want   ninep.Dialect
		asked  int
		fails  string
	}{
		{"9P2000.L", "unknown", nil, l, 1, ""},
		{"9P2000.L", "unknown", everyDialect, l, 1, ""},
		{"9P2000.u", "unknown", everyDialect, u, 2, ""},
		{"9P2000.u", "9P2000", everyDialect, u, 2, ""},
		{"9P2000", "9P2000", everyDialect, old, 3, ""},
		{"9P2000", "unknown", everyDialect, old, 3, ""},
		{"9P2000.u", "unknown", []ninep.Dialect{u}, u, 1, ""},
		{"9P2000", "9P2000", []ninep.Dialect{u}, 0, 1, `version "9P2000" to "9P2000.u"`},
		{"9P2000.u", "9P2000.u", nil, 0, 1, `version "9P2000.u" to "9P2000.L"`},
		{"9P2000.L", "unknown", []ninep.Dialect{old}, 0, 1, `version "unknown" to "9P2000"`},
		{"9P3000", "unknown", everyDialect, 0, 3, `version "unknown" to "9P2000"`},
		{"9P2000", "", everyDialect, old, 3, ""}, // an error to what it does not know
	} {
		asked := 0
		s, err := ninep.Open(testContext(t), ninep.Config{Dialects: c.wanted, Dial: scripted(t, func(tag uint16, m ninep.Message) any {
			v := m.(*ninep.Tversion)
			asked++
			switch {
			case v.Version == c.speaks:
				return &ninep.Rversion{Msize: v.Msize, Version: v.Version}
			case c.other == "":
				return raw(0, ninep.TypeRerror, tag, "\x0f\x00bad 9P version!")
			}
			return &ninep.Rversion{Msize: v.Msize, Version: c.other}
		})})
		switch {
		case asked != c.asked:
			t.Errorf("%+v: asked %d times", c, asked)
		case c.fails != "":
			if !errors.Is(err, ninep.ErrDialect) || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%+v: %v", c, err)
			}
		case err != nil || s.Dialect() != c.want:
			t.Errorf("%+v: %v", c, err)
		}
		if err == nil {
			ok(t, s.Close())
		}
	}
}

// TestClassicErrorsDoNotReachThePayload: however long an error's text is and however short the read, no byte of it is the
// caller's, and the number comes through.
func TestClassicErrorsDoNotReachThePayload(t *testing.T) {
	inClassicDialects(t, func(t *testing.T, s *plan9) {
		var spilled atomic.Bool
		s.posted = func(_, payload, _ []byte) {
			if bytes.Contains(payload, []byte("secret")) {
				spilled.Store(true)
			}
		}
		for _, z := range []ninep.ZeroCopy{ninep.ZeroCopyAuto, ninep.ZeroCopyOff} {
			session, _ := s.open()
			root := must(session.Attach(testContext(t), ninep.AttachOptions{Aname: "/", ZeroCopy: z}))(t)
			for _, length := range []int{0, 1, 4, 20, 250, ninep.MaxErrorText} {
				text := (strings.Repeat("/secret", 40) + ": permission denied")[299-length:]
				s.mu.Lock()
				s.answer = func(m ninep.Message) ninep.Message {
					if m.Type() == ninep.TypeTread {
						return &ninep.Rerror{Ename: text, Errno: uint32(unix.EACCES)}
					}
					return nil
				}
				s.mu.Unlock()
				want := unix.EACCES
				if s.dialect == ninep.DialectLegacy && length < 20 {
					want = unix.EIO
				}
				for _, size := range []int{1, 4, 5, 100, 258, 300, 5000, 40000} {
					buf := make([]byte, size)
					n, err := root.Read(testContext(t), buf, 0)
					if n != 0 || !errors.Is(err, want) {
						t.Errorf("%d bytes, a text of %d: %d, %v", size, length, n, err)
					}
					if bytes.ContainsAny(buf, "secret:pmiond") {
						t.Errorf("%d bytes, a text of %d: it is in the payload: %q", size, length, buf[:min(size, 300)])
					}
				}
				if _, err := root.Getattr(testContext(t), ninep.AttrBasic); err != nil {
					t.Errorf("after a text of %d: %v", length, err)
				}
			}
			if st := session.Status(); !st.Connected || st.Reconnects != 0 {
				t.Errorf("errors have cost the connection: %+v", st)
			}
			s.mu.Lock()
			s.answer = nil
			s.mu.Unlock()
		}
		if !s.bare && !spilled.Load() {
			t.Error("no error has run into the payload's place: this shows nothing")
		}
	})
}

// TestUnknownErrorText: what a server says and nobody knows is not lost.
func TestUnknownErrorText(t *testing.T) {
	s := newPlan9(t, ninep.DialectLegacy)
	_, root := s.open()
	s.mu.Lock()
	s.answer = func(m ninep.Message) ninep.Message { return &ninep.Rerror{Ename: "phase of the moon"} }
	s.mu.Unlock()
	_, err := root.Getattr(testContext(t), ninep.AttrBasic)
	if !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), `"phase of the moon"`) {
		t.Errorf("%v", err)
	}
	s.mu.Lock()
	s.answer = nil
	s.mu.Unlock()
}

// TestNumbersAndTexts: the number counts, unless it is the one that says nothing.
func TestNumbersAndTexts(t *testing.T) {
	s := newPlan9(t, ninep.DialectU)
	_, root := s.open()
	for _, c := range []struct {
		errno uint32
		text  string
		want  unix.Errno
	}{
		{uint32(unix.EPERM), "file does not exist", unix.EPERM},
		{uint32(unix.EIO), "remove /a: directory not empty", unix.ENOTEMPTY}, // Go's, of an error that is no errno to it
		{uint32(unix.EIO), "Input/output error", unix.EIO},
		{0, "file does not exist", unix.ENOENT},
		{5000, "phase of the moon", unix.EIO},
	} {
		s.mu.Lock()
		s.answer = func(ninep.Message) ninep.Message { return &ninep.Rerror{Ename: c.text, Errno: c.errno} }
		s.mu.Unlock()
		if _, err := root.Getattr(testContext(t), ninep.AttrBasic); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	s.mu.Lock()
	s.answer = nil
	s.mu.Unlock()
}

// TestLongErrorTexts: a server that knows no limit is understood as far as there is room.
func TestLongErrorTexts(t *testing.T) {
	for _, d := range everyDialect[1:] {
		s := newPlan9(t, d)
		s.bare = true
		session, root := s.open()
		s.mu.Lock()
		s.answer = func(m ninep.Message) ninep.Message {
			if m.Type() == ninep.TypeTstat {
				return &ninep.Rerror{Ename: "permission denied: " + strings.Repeat("/a", 2000), Errno: uint32(unix.EPERM)}
			}
			return nil
		}
		s.mu.Unlock()
		_, err := root.Getattr(testContext(t), ninep.AttrBasic)
		want := unix.EACCES
		if d == ninep.DialectU {
			want = unix.EPERM // a reply with a description has room for the number behind the text
		}
		if !errors.Is(err, want) || !session.Status().Connected {
			t.Errorf("%v: %v", d, err)
		}
	}
}

// TestClassicHostileReplies: replies that contradict themselves end the connection, or the call.
func TestClassicHostileReplies(t *testing.T) {
	for name, answer := range map[string]func(ninep.Message) ninep.Message{
		"a directory that is none": func(m ninep.Message) ninep.Message {
			if m.Type() == ninep.TypeTstat {
				return &ninep.Rstat{Stat: ninep.Stat{Mode: 0o755, QID: ninep.QID{Type: ninep.QTDir}}}
			}
			return nil
		},
		"another type": func(m ninep.Message) ninep.Message {
			if m.Type() == ninep.TypeTstat {
				return &ninep.Rwstat{}
			}
			return nil
		},
		"a cut entry": func(m ninep.Message) ninep.Message {
			if m.Type() == ninep.TypeTread {
				return &ninep.Rread{Data: []byte{100, 0, 1, 2, 3}}
			}
			return nil
		},
	} {
		s := newPlan9(t, ninep.DialectU)
		s.bare, s.reconnectTimeout = true, -1
		session, root := s.open()
		ctx := testContext(t)
		dir := must(root.Walk(ctx))(t)
		ok(t, dir.Open(ctx, unix.O_RDONLY))
		s.mu.Lock()
		s.answer = answer
		s.mu.Unlock()
		_, err := root.Getattr(ctx, ninep.AttrBasic)
		if name == "a cut entry" {
			_, err = dir.Readdir(ctx, 0, make([]byte, 10000))
		}
		if !errors.Is(err, unix.EIO) || !errors.Is(err, ninep.ErrMalformed) && !errors.Is(err, transport.ErrProtocol) && !errors.Is(err, ninep.ErrLost) {
			t.Errorf("%s: %v", name, err)
		}
		_ = session.Close()
	}
}

// FuzzClassicReplies feeds the reply path with a server's bytes, on memory that was posted ahead: whatever they are, every call
// ends, and no byte but those counted is the caller's.
func FuzzClassicReplies(f *testing.F) {
	f.Add(byte(0), false, []byte("\x04\x00nope\x02\x00\x00\x00"), byte(ninep.TypeRerror))
	f.Add(byte(1), true, []byte("\x04\x00\x00\x00data"), byte(ninep.TypeRread))
	f.Add(byte(2), false, []byte("\x35\x00\x33\x00"), byte(ninep.TypeRstat))
	f.Add(byte(3), true, []byte("\x08\x00\x00\x00\x06\x00stat.."), byte(ninep.TypeRread))
	f.Fuzz(func(t *testing.T, which byte, old bool, body []byte, kind byte) {
		d := ninep.DialectU
		if old {
			d = ninep.DialectLegacy
		}
		s := newPlan9(t, d)
		s.reconnectTimeout = -1
		session, root := s.open()
		s.mu.Lock()
		s.bytes = func(tag uint16) []byte { return raw(0, ninep.MsgType(kind), tag, string(body[:min(len(body), 10000)])) }
		s.mu.Unlock()
		ctx := testContext(t)
		buf := make([]byte, 600)
		calls := []func(){
			func() { _, _ = root.Getattr(ctx, ninep.AttrAll) },
			func() {
				if n, _ := root.Read(ctx, buf, 0); n > len(buf) {
					t.Errorf("%d bytes read", n)
				}
			},
			func() { _, _ = root.Readlink(ctx) },
			func() { _, _ = root.Readdir(ctx, 0, buf) },
			func() { _ = root.Open(ctx, 0) },
			func() { _, _ = root.Mkdir(ctx, "a", 0o755, 0) },
			func() { _ = root.Setattr(ctx, ninep.SetAttr{Valid: ninep.SetMode}) },
			func() { _ = root.Rename(ctx, "a", root, "b") },
		}
		calls[int(which)%len(calls)]()
		if ctx.Err() != nil {
			t.Error("the call did not end")
		}
		_ = session.Close()
	})
}
