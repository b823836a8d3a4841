package ninetest

import (
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

var createRules = []rule{
	{"new-file-has-mode-and-group", createMode},
	{"moves-the-fid", createMoves},
	{"failure-leaves-the-fid", createFailure},
	{"exclusive-refuses-an-existing-name", createExclusive},
	{"exclusive-refuses-a-symlink", createExclusiveSymlink},
	{"without-exclusive-opens-what-exists", createExisting},
	{"truncates-what-exists", createTruncates},
	{"read-only-mode-is-writable-through-its-fid", createReadOnlyMode},
	{"read-only-flag", createReadOnlyFlag},
	{"symlink-is-not-followed", createSymlink},
	{"bad-names-are-refused", createBadNames},
	{"in-a-file-is-refused", createInFile},
}

func createMode(s *scope) {
	for _, mode := range []uint32{0o644, 0o600, 0o755, 0o444, 0o666, 0o777, 0o4755, 0o2755, 0o1644} {
		f := s.walk(s.dir)
		s.ok(f.Create(s.ctx, itoa(int(mode)), unix.O_RDWR|unix.O_EXCL, mode, s.server.OtherUID), "create")
		attr := s.attr(f)
		if attr.Mode != unix.S_IFREG|mode || attr.GID != s.madeFor(s.server.OtherUID) || attr.UID != s.server.UID {
			s.tb.Errorf("created as %o by %d:%d: mode %o, owner %d:%d", mode, s.server.UID, s.server.OtherUID,
				attr.Mode, attr.UID, attr.GID)
		}
		if attr.Size != 0 || attr.Nlink != 1 {
			s.tb.Errorf("a new file has size %d and %d links", attr.Size, attr.Nlink)
		}
	}
}

func createMoves(s *scope) {
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9})
	made := qidOf(w.must(s.tcreate(9, "f", ninep.OpenReadWrite, 0o644)))
	s.sameQID(made, s.walk(s.dir, "f").QID(), "the reply")
	w.must(&ninep.Twrite{Fid: 9, Data: []byte("data")})
	s.sameQID(qidOf(w.must(s.tstat(9))), made, "the fid after it")
	w.refused(s.tcreate(9, "g", ninep.OpenReadWrite, 0o644))
	s.content("f", "data")
}

func createFailure(s *scope) {
	s.file("f", "data")
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9})
	w.refused(s.tcreate(9, "f", ninep.OpenReadWrite|ninep.OpenExcl, 0o644), unix.EEXIST)
	w.must(s.tcreate(9, "g", ninep.OpenReadWrite|ninep.OpenExcl, 0o644))
	w.must(&ninep.Twrite{Fid: 9, Data: []byte("more")})
	s.content("f", "data")
	s.content("g", "more")
}

func createExclusive(s *scope) {
	s.file("f", "data")
	s.mkdir(s.dir, "d")
	for _, name := range []string{"f", "d"} {
		_, err := s.tryCreate(s.dir, name, unix.O_RDWR|unix.O_EXCL|unix.O_TRUNC, 0o644)
		s.fails(err, "create "+name+" again", unix.EEXIST)
	}
	s.content("f", "data")
}

func createExclusiveSymlink(s *scope) {
	_, err := s.dir.Symlink(s.ctx, "link", "target", s.server.UID)
	s.ok(err, "symlink")
	_, err = s.tryCreate(s.dir, "link", unix.O_RDWR|unix.O_EXCL, 0o644)
	s.fails(err, "create over a dangling link", unix.EEXIST)
	if s.exists(s.dir, "target") {
		s.tb.Error("created what a link points to")
	}
}

func createExisting(s *scope) {
	s.file("f", "data")
	f, err := s.tryCreate(s.dir, "f", unix.O_RDWR, 0o600)
	s.ok(err, "create without O_EXCL")
	s.reads(f, []byte("data"), 0)
	if mode := s.attr(f).Mode & 0o777; mode != 0o644 {
		s.tb.Errorf("the mode became %o", mode)
	}
}

func createTruncates(s *scope) {
	s.file("f", "data")
	f, err := s.tryCreate(s.dir, "f", unix.O_RDWR|unix.O_TRUNC, 0o644)
	s.ok(err, "create with O_TRUNC")
	if size := s.attr(f).Size; size != 0 {
		s.tb.Errorf("%d bytes are left", size)
	}
}

func createReadOnlyMode(s *scope) {
	dir := s.asOther()
	f := s.walk(dir)
	s.ok(f.Create(s.ctx, "f", unix.O_RDWR|unix.O_EXCL, 0o400, s.server.OtherUID), "create with mode 400")
	s.write(f, []byte("data"), 0)
	s.reads(f, []byte("data"), 0)
}

func createReadOnlyFlag(s *scope) {
	f, err := s.tryCreate(s.dir, "f", unix.O_RDONLY|unix.O_EXCL, 0o644)
	s.ok(err, "create read-only")
	_, err = f.Write(s.ctx, []byte("x"), 0)
	s.fails(err, "write to it", unix.EBADF)
}

// createSymlink: the kernel resolves links on the client; a server that
// follows one creates a file out of the tree.
func createSymlink(s *scope) {
	s.file("f", "data")
	for name, target := range map[string]string{"near": "f", "dangling": "new"} {
		_, err := s.dir.Symlink(s.ctx, name, target, s.server.UID)
		s.ok(err, "symlink")
		if _, err := s.tryCreate(s.dir, name, unix.O_RDWR|unix.O_TRUNC, 0o644); err == nil {
			s.tb.Errorf("created through %s -> %s", name, target)
		}
	}
	s.content("f", "data")
	if s.exists(s.dir, "new") {
		s.tb.Error("created what a link points to")
	}
}

func createBadNames(s *scope) {
	sub := s.mkdir(s.dir, "sub")
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"sub"}})
	for _, name := range []string{"", ".", "..", "a/b", "../escaped", "/escaped", "a\x00b"} {
		for _, m := range s.tmakes(9, name) {
			w.refused(m)
		}
	}
	if names := s.names(sub); len(names) > 0 {
		s.tb.Errorf("made %q", names)
	}
	if names := s.names(s.dir); len(names) != 1 {
		s.tb.Errorf("one directory up there is %q", names)
	}
}

func createInFile(s *scope) {
	s.file("f", "data")
	f := s.walk(s.dir, "f")
	s.fails(s.walk(f).Create(s.ctx, "x", unix.O_RDWR, 0o644, 0), "create in a file", unix.ENOTDIR)
	_, err := f.Mkdir(s.ctx, "x", 0o755, 0)
	s.fails(err, "mkdir in a file", unix.ENOTDIR)
}
