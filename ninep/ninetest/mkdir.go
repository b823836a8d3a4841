package ninetest

import (
	"strings"

	"golang.org/x/sys/unix"
)

var (
	mkdirRules = []rule{
		{"mode-owner-and-group", mkdirMode},
		{"existing-name-is-refused", mkdirExisting},
		{"rmdir-removes-only-empty-directories", mkdirRemove},
		{"fid-of-a-removed-directory-makes-nothing", mkdirRemoved},
	}
	symlinkRules = []rule{
		{"target-of-any-bytes", symlinkTargets},
		{"existing-name-is-refused", symlinkExisting},
		{"readlink-of-others-is-refused", symlinkReadlink},
	}
	linkRules = []rule{
		{"is-the-same-file", linkSame},
		{"survives-the-first-name", linkSurvives},
		{"refusals", linkRefusals},
	}
)

func mkdirMode(s *scope) {
	for _, mode := range []uint32{0o755, 0o700, 0o777, 0o000, 0o1777} {
		name := itoa(int(mode))
		qid, err := s.dir.Mkdir(s.ctx, name, mode, s.server.OtherUID)
		s.ok(err, "mkdir")
		d := s.walk(s.dir, name)
		s.sameQID(d.QID(), qid, "Rmkdir")
		attr := s.attr(d)
		if attr.Mode != unix.S_IFDIR|mode || attr.UID != s.server.UID || attr.GID != s.madeFor(s.server.OtherUID) {
			s.tb.Errorf("made as %o: mode %o, owner %d:%d", mode, attr.Mode, attr.UID, attr.GID)
		}
	}
}

func mkdirExisting(s *scope) {
	s.mkdir(s.dir, "d")
	s.file("f", "data")
	_, err := s.dir.Symlink(s.ctx, "l", "missing", 0)
	s.ok(err, "symlink")
	for _, name := range []string{"d", "f", "l"} {
		_, err := s.dir.Mkdir(s.ctx, name, 0o755, 0)
		s.fails(err, "mkdir "+name, unix.EEXIST)
	}
}

func mkdirRemove(s *scope) {
	d := s.mkdir(s.dir, "d")
	s.mkdir(d, "inner")
	s.fails(s.dir.Unlink(s.ctx, "d", true), "rmdir a full directory", unix.ENOTEMPTY)
	s.ok(d.Unlink(s.ctx, "inner", true), "rmdir")
	s.ok(s.dir.Unlink(s.ctx, "d", true), "rmdir")
	if s.exists(s.dir, "d") {
		s.tb.Error("the directory is still there")
	}
}

func mkdirRemoved(s *scope) {
	d := s.mkdir(s.dir, "d")
	s.ok(s.dir.Unlink(s.ctx, "d", true), "rmdir")
	_, err := d.Mkdir(s.ctx, "x", 0o755, 0)
	s.fails(err, "mkdir in a removed directory", unix.ENOENT, unix.ESTALE)
	_, err = s.tryCreate(d, "x", unix.O_RDWR, 0o644)
	s.fails(err, "create in a removed directory", unix.ENOENT, unix.ESTALE)
}

func symlinkTargets(s *scope) {
	targets := append(hardNames(), "/absolute", "../up", "a/b/c", "/", strings.Repeat("long/", 200), strings.Repeat("x", 4000))
	for i, target := range targets {
		qid, err := s.dir.Symlink(s.ctx, itoa(i), target, s.server.UID)
		s.ok(err, "symlink")
		l := s.walk(s.dir, itoa(i))
		s.sameQID(l.QID(), qid, "Rsymlink")
		got, err := l.Readlink(s.ctx)
		s.ok(err, "readlink")
		if got != target {
			s.tb.Errorf("target %q, want %q", got, target)
		}
	}
}

func symlinkExisting(s *scope) {
	s.file("f", "data")
	_, err := s.dir.Symlink(s.ctx, "f", "target", 0)
	s.fails(err, "symlink over a file", unix.EEXIST)
	s.content("f", "data")
}

func symlinkReadlink(s *scope) {
	s.file("f", "data")
	for _, name := range []string{"f", "d"} {
		if name == "d" {
			s.mkdir(s.dir, name)
		}
		_, err := s.walk(s.dir, name).Readlink(s.ctx)
		s.fails(err, "readlink", unix.EINVAL)
	}
}

func linkSame(s *scope) {
	f := s.create("f")
	s.write(f, []byte("data"), 0)
	s.ok(s.dir.Link(s.ctx, s.walk(s.dir, "f"), "g"), "link")
	s.sameQID(s.walk(s.dir, "g").QID(), f.QID(), "the second name")
	if n := s.attr(f).Nlink; n != 2 {
		s.tb.Errorf("%d links, want 2", n)
	}
	s.write(f, []byte("DA"), 0)
	s.content("g", "DAta")
}

func linkSurvives(s *scope) {
	s.file("f", "data")
	s.ok(s.mkdir(s.dir, "d").Link(s.ctx, s.walk(s.dir, "f"), "g"), "link into another directory")
	s.ok(s.dir.Unlink(s.ctx, "f", false), "unlink")
	g := s.walk(s.dir, "d", "g")
	s.ok(g.Open(s.ctx, unix.O_RDONLY), "open")
	s.reads(g, []byte("data"), 0)
	if n := s.attr(g).Nlink; n != 1 {
		s.tb.Errorf("%d links, want 1", n)
	}
}

func linkRefusals(s *scope) {
	s.file("f", "data")
	s.file("g", "more")
	d := s.mkdir(s.dir, "d")
	s.fails(s.dir.Link(s.ctx, s.walk(s.dir, "f"), "g"), "link over a file", unix.EEXIST)
	s.fails(s.dir.Link(s.ctx, d, "h"), "link to a directory", unix.EPERM)
	f := s.walk(s.dir, "f")
	s.ok(s.dir.Unlink(s.ctx, "f", false), "unlink")
	s.fails(s.dir.Link(s.ctx, f, "h"), "link to a file that is gone", unix.ENOENT, unix.ESTALE)
	s.content("g", "more")
}
