package ninetest

import (
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

var renameRules = []rule{
	{"within-a-directory", renameWithin},
	{"between-directories", renameBetween},
	{"replaces-an-existing-file", renameReplaces},
	{"replaces-an-empty-directory", renameEmptyDirectory},
	{"refusals", renameRefusals},
	{"of-an-open-file", renameOpen},
	{"over-an-open-file", renameOverOpen},
	{"fids-of-the-file-follow", renameFollows},
	{"fids-below-a-directory-follow", renameBelow},
	{"to-its-own-name-or-link", renameSame},
}

func renameWithin(s *scope) {
	s.file("a", "data")
	qid := s.walk(s.dir, "a").QID()
	s.ok(s.dir.Rename(s.ctx, "a", s.dir, "b"), "rename")
	if s.exists(s.dir, "a") {
		s.tb.Error("the old name is still there")
	}
	s.sameQID(s.walk(s.dir, "b").QID(), qid, "the new name")
	s.content("b", "data")
}

func renameBetween(s *scope) {
	from, to := s.mkdir(s.dir, "from"), s.mkdir(s.dir, "to")
	s.mkdir(s.mkdir(from, "d"), "inner")
	qid := s.walk(from, "d").QID()
	s.ok(from.Rename(s.ctx, "d", to, "e"), "rename a directory")
	s.sameQID(s.walk(to, "e").QID(), qid, "the new name")
	s.walk(to, "e", "inner")
	if names := s.names(from); len(names) > 0 {
		s.tb.Errorf("%q is left", names)
	}
}

func renameReplaces(s *scope) {
	s.file("a", "new")
	s.file("b", "old content")
	s.ok(s.dir.Rename(s.ctx, "a", s.dir, "b"), "rename")
	s.content("b", "new")
	if names := s.names(s.dir); len(names) != 1 {
		s.tb.Errorf("there is %q", names)
	}
}

func renameEmptyDirectory(s *scope) {
	s.mkdir(s.mkdir(s.dir, "a"), "inner")
	s.mkdir(s.dir, "b")
	s.ok(s.dir.Rename(s.ctx, "a", s.dir, "b"), "rename over an empty directory")
	s.walk(s.dir, "b", "inner")
}

func renameRefusals(s *scope) {
	s.file("file", "data")
	d := s.mkdir(s.dir, "d")
	s.mkdir(d, "inner")
	s.mkdir(s.dir, "empty")
	for _, test := range []struct {
		from string
		dir  *ninep.Fid
		to   string
		want []unix.Errno
	}{
		{"d", d, "x", []unix.Errno{unix.EINVAL}},
		{"d", s.walk(d, "inner"), "x", []unix.Errno{unix.EINVAL}},
		{"missing", s.dir, "x", []unix.Errno{unix.ENOENT}},
		{"empty", s.dir, "d", []unix.Errno{unix.ENOTEMPTY, unix.EEXIST}},
		{"file", s.dir, "d", []unix.Errno{unix.EISDIR}},
		{"d", s.dir, "file", []unix.Errno{unix.ENOTDIR}},
	} {
		s.fails(s.dir.Rename(s.ctx, test.from, test.dir, test.to), "rename "+test.from+" to "+test.to, test.want...)
	}
	s.content("file", "data")
	s.walk(s.dir, "d", "inner")
}

func renameOpen(s *scope) {
	f := s.create("a")
	s.write(f, []byte("data"), 0)
	s.ok(s.dir.Rename(s.ctx, "a", s.mkdir(s.dir, "d"), "b"), "rename")
	s.reads(f, []byte("data"), 0)
	s.write(f, []byte("DA"), 0)
	s.ok(f.Fsync(s.ctx, false), "fsync")
	s.setattr(f, ninep.SetAttr{Valid: ninep.SetSize, Size: 3})
	if size := s.attr(f).Size; size != 3 {
		s.tb.Errorf("size %d, want 3", size)
	}
	moved := s.walk(s.dir, "d", "b")
	s.ok(moved.Open(s.ctx, unix.O_RDONLY), "open under the new name")
	s.reads(moved, []byte("DAt"), 0)
}

func renameOverOpen(s *scope) {
	old := s.create("b")
	s.write(old, []byte("old"), 0)
	s.file("a", "new")
	s.ok(s.dir.Rename(s.ctx, "a", s.dir, "b"), "rename")
	s.reads(old, []byte("old"), 0)
	s.write(old, []byte("OLD"), 0)
	s.content("b", "new")
}

// renameFollows: a fid is a file, not a name.
func renameFollows(s *scope) {
	s.file("a", "data")
	fid := s.walk(s.dir, "a")
	s.ok(s.dir.Rename(s.ctx, "a", s.dir, "b"), "rename")
	s.file("a", "another")
	s.sameQID(s.attr(fid).QID, fid.QID(), "the fid after the rename")
	s.ok(fid.Open(s.ctx, unix.O_RDONLY), "open")
	s.reads(fid, []byte("data"), 0)
}

func renameBelow(s *scope) {
	d := s.mkdir(s.dir, "d")
	inner := s.mkdir(d, "inner")
	s.ok(s.dir.Rename(s.ctx, "d", s.dir, "e"), "rename")
	s.sameQID(s.attr(inner).QID, inner.QID(), "a fid below")
	s.mkdir(inner, "new")
	s.walk(s.dir, "e", "inner", "new")
	s.file("f", "data")
	s.ok(s.dir.Rename(s.ctx, "f", inner, "f"), "rename into a moved directory")
	s.walk(s.dir, "e", "inner", "f")
}

func renameSame(s *scope) {
	s.file("a", "data")
	s.ok(s.dir.Rename(s.ctx, "a", s.dir, "a"), "rename to its own name")
	s.content("a", "data")
	s.ok(s.dir.Link(s.ctx, s.walk(s.dir, "a"), "b"), "link")
	// rename(2): two names of one file, nothing is done.
	s.ok(s.dir.Rename(s.ctx, "a", s.dir, "b"), "rename to its own link")
	s.content("b", "data")
}
