package ninetest

import (
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

var setattrRules = []rule{
	{"mode", setattrMode},
	{"owner-and-group", setattrOwner},
	{"size", setattrSize},
	{"size-of-a-directory-is-refused", setattrDirectory},
	{"times-given", setattrGiven},
	{"times-now", setattrNow},
	{"only-what-is-valid", setattrOnly},
	{"all-at-once", setattrAll},
	{"of-a-symlink-itself", setattrSymlink},
	{"after-unlink-through-an-open-fid", setattrUnlinked},
}

func (s *scope) setattr(f *ninep.Fid, a ninep.SetAttr) {
	s.tb.Helper()
	s.ok(f.Setattr(s.ctx, a), "setattr")
}

func setattrMode(s *scope) {
	s.file("f", "")
	for f, kind := range map[*ninep.Fid]uint32{s.walk(s.dir, "f"): unix.S_IFREG, s.mkdir(s.dir, "d"): unix.S_IFDIR} {
		for _, mode := range []uint32{0, 0o400, 0o777, 0o4755, 0o2755, 0o1777, 0o7777, 0o644} {
			s.setattr(f, ninep.SetAttr{Valid: ninep.SetMode, Mode: mode})
			if got := s.attr(f).Mode; got != kind|mode {
				s.tb.Errorf("set %o, got %o", mode, got)
			}
		}
	}
}

func setattrOwner(s *scope) {
	s.file("f", "")
	f := s.walk(s.dir, "f")
	for _, test := range []struct {
		set      ninep.SetAttr
		uid, gid uint32
	}{
		{ninep.SetAttr{Valid: ninep.SetUID, UID: 12}, 12, s.server.UID},
		{ninep.SetAttr{Valid: ninep.SetGID, GID: 34}, 12, 34},
		{ninep.SetAttr{Valid: ninep.SetUID | ninep.SetGID, UID: 1 << 31, GID: 70000}, 1 << 31, 70000},
	} {
		s.setattr(f, test.set)
		if attr := s.attr(f); attr.UID != test.uid || attr.GID != test.gid {
			s.tb.Errorf("set %+v: %d:%d", test.set, attr.UID, attr.GID)
		}
	}
}

func setattrSize(s *scope) {
	f := s.create("f")
	s.write(f, []byte("abcdef"), 0)
	for _, test := range []struct {
		size uint64
		want string
	}{{3, "abc"}, {6, "abc\x00\x00\x00"}, {0, ""}, {2, "\x00\x00"}} {
		s.setattr(f, ninep.SetAttr{Valid: ninep.SetSize, Size: test.size})
		s.content("f", test.want)
	}
	s.setattr(s.walk(s.dir, "f"), ninep.SetAttr{Valid: ninep.SetSize, Size: 5 << 30})
	if size := s.attr(f).Size; size != 5<<30 {
		s.tb.Errorf("size %d after truncate to 5 GiB", size)
	}
}

func setattrDirectory(s *scope) {
	err := s.dir.Setattr(s.ctx, ninep.SetAttr{Valid: ninep.SetSize})
	s.fails(err, "truncate a directory", unix.EISDIR, unix.EINVAL)
}

func setattrGiven(s *scope) {
	s.file("f", "")
	for _, f := range []*ninep.Fid{s.walk(s.dir, "f"), s.mkdir(s.dir, "d")} {
		a, m := s.moment(1111111111, 123456789), s.moment(2222222222, 987654321)
		s.setattr(f, ninep.SetAttr{Valid: ninep.SetAtime | ninep.SetAtimeGiven, Atime: a})
		if attr := s.attr(f); attr.Atime != a {
			s.tb.Errorf("atime %v, want %v", attr.Atime, a)
		}
		s.setattr(f, ninep.SetAttr{Valid: ninep.SetMtime | ninep.SetMtimeGiven, Mtime: m})
		if attr := s.attr(f); attr.Mtime != m || attr.Atime != a {
			s.tb.Errorf("times %v and %v, want %v and %v", attr.Atime, attr.Mtime, a, m)
		}
	}
}

// setattrNow puts the server's now between two files that it made.
func setattrNow(s *scope) {
	s.file("f", "")
	f := s.walk(s.dir, "f")
	for _, valid := range []ninep.SetMask{ninep.SetAtime, ninep.SetMtime, ninep.SetAtime | ninep.SetMtime} {
		old := ninep.Timespec{Sec: 1000}
		s.setattr(f, ninep.SetAttr{
			Valid: ninep.SetAtime | ninep.SetAtimeGiven | ninep.SetMtime | ninep.SetMtimeGiven, Atime: old, Mtime: old,
		})
		s.file("before"+itoa(int(valid)), "")
		s.setattr(f, ninep.SetAttr{Valid: valid, Atime: old, Mtime: old})
		s.file("after"+itoa(int(valid)), "")
		from, to := s.attrOf("before"+itoa(int(valid))).Mtime, s.attrOf("after"+itoa(int(valid))).Mtime
		attr := s.attr(f)
		for what, at := range map[ninep.SetMask]ninep.Timespec{ninep.SetAtime: attr.Atime, ninep.SetMtime: attr.Mtime} {
			switch {
			case valid&what == 0 && at != old:
				s.tb.Errorf("valid %#x moved the other time to %v", valid, at)
			case valid&what != 0 && (earlier(at, from) || earlier(to, at)):
				s.tb.Errorf("valid %#x: %v is not between %v and %v", valid, at, from, to)
			}
		}
	}
}

func earlier(a, b ninep.Timespec) bool {
	return a.Sec < b.Sec || a.Sec == b.Sec && a.Nsec < b.Nsec
}

func setattrOnly(s *scope) {
	s.file("f", "data")
	f := s.walk(s.dir, "f")
	before := s.attr(f)
	s.setattr(f, ninep.SetAttr{
		Valid: ninep.SetMode, Mode: 0o600, UID: 12, GID: 34, Size: 1, Atime: ninep.Timespec{Sec: 1}, Mtime: ninep.Timespec{Sec: 1},
	})
	want := before
	want.Mode = unix.S_IFREG | 0o600
	after := s.attr(f)
	want.Ctime = after.Ctime
	want.QID.Version, want.DataVersion = after.QID.Version, after.DataVersion
	if after != want {
		s.tb.Errorf("got  %+v\nwant %+v", after, want)
	}
}

func setattrAll(s *scope) {
	s.file("f", "data")
	f := s.walk(s.dir, "f")
	t := s.moment(1234567890, 1)
	s.setattr(f, ninep.SetAttr{
		Valid: ninep.SetMode | ninep.SetUID | ninep.SetGID | ninep.SetSize | ninep.SetAtime | ninep.SetAtimeGiven |
			ninep.SetMtime | ninep.SetMtimeGiven,
		Mode: 0o640, UID: 12, GID: 34, Size: 2, Atime: t, Mtime: t,
	})
	got := s.attr(f)
	if got.Mode != unix.S_IFREG|0o640 || got.UID != 12 || got.GID != 34 || got.Size != 2 || got.Atime != t || got.Mtime != t {
		s.tb.Errorf("%+v", got)
	}
}

// setattrSymlink: what a link points to is not the server's to change.
func setattrSymlink(s *scope) {
	s.file("f", "data")
	before := s.attrOf("f")
	_, err := s.dir.Symlink(s.ctx, "l", "f", s.server.UID)
	s.ok(err, "symlink")
	link := s.walk(s.dir, "l")
	s.setattr(link, ninep.SetAttr{Valid: ninep.SetUID | ninep.SetGID, UID: 12, GID: 34})
	t := ninep.Timespec{Sec: 1234567890}
	s.setattr(link, ninep.SetAttr{Valid: ninep.SetMtime | ninep.SetMtimeGiven, Mtime: t})
	if attr := s.attr(link); attr.UID != 12 || attr.GID != 34 || attr.Mtime != t {
		s.tb.Errorf("the link: %+v", attr)
	}
	if err := link.Setattr(s.ctx, ninep.SetAttr{Valid: ninep.SetSize}); err == nil {
		s.tb.Error("truncated through a symbolic link")
	}
	if err := link.Setattr(s.ctx, ninep.SetAttr{Valid: ninep.SetMode, Mode: 0o777}); err == nil {
		s.tb.Log("a link's mode can be set here")
	}
	if after := s.attrOf("f"); after != before {
		s.tb.Errorf("what the link points to changed from\n%+v to\n%+v", before, after)
	}
}

func setattrUnlinked(s *scope) {
	f := s.create("f")
	s.write(f, []byte("data"), 0)
	s.ok(s.dir.Unlink(s.ctx, "f", false), "unlink")
	s.setattr(f, ninep.SetAttr{Valid: ninep.SetSize, Size: 2})
	s.setattr(f, ninep.SetAttr{Valid: ninep.SetMode, Mode: 0o600})
	if attr := s.attr(f); attr.Size != 2 || attr.Mode != unix.S_IFREG|0o600 {
		s.tb.Errorf("%+v", attr)
	}
}
