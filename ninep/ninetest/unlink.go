package ninetest

import (
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

var unlinkRules = []rule{
	{"removes-the-name", unlinkName},
	{"refusals", unlinkRefusals},
	{"symlink-itself", unlinkSymlink},
	{"open-file-stays-usable", unlinkOpen},
	{"open-file-by-another-session", unlinkByOther},
	{"open-directory-reads-as-empty", unlinkOpenDirectory},
	{"new-file-of-that-name-is-another", unlinkRecreate},
	{"remove-ends-the-fid", unlinkRemove},
	{"failed-remove-ends-the-fid", unlinkRemoveFails},
	{"clunk-ends-the-fid", unlinkClunk},
}

func unlinkName(s *scope) {
	s.file("f", "data")
	s.ok(s.dir.Unlink(s.ctx, "f", false), "unlink")
	if s.exists(s.dir, "f") {
		s.tb.Error("the file is still there")
	}
}

func unlinkRefusals(s *scope) {
	s.file("f", "data")
	s.mkdir(s.dir, "d")
	s.fails(s.dir.Unlink(s.ctx, "missing", false), "unlink a missing name", unix.ENOENT)
	s.fails(s.dir.Unlink(s.ctx, "missing", true), "rmdir a missing name", unix.ENOENT)
	s.fails(s.dir.Unlink(s.ctx, "d", false), "unlink a directory", unix.EISDIR)
	s.fails(s.dir.Unlink(s.ctx, "f", true), "rmdir a file", unix.ENOTDIR)
	if names := s.names(s.dir); len(names) != 2 {
		s.tb.Errorf("only %q is left", names)
	}
}

func unlinkSymlink(s *scope) {
	s.file("f", "data")
	_, err := s.dir.Symlink(s.ctx, "l", "f", s.server.UID)
	s.ok(err, "symlink")
	s.ok(s.dir.Unlink(s.ctx, "l", false), "unlink the link")
	s.content("f", "data")
}

func unlinkOpen(s *scope) {
	f := s.create("f")
	s.write(f, []byte("data"), 0)
	s.ok(s.dir.Unlink(s.ctx, "f", false), "unlink")
	s.reads(f, []byte("data"), 0)
	s.write(f, []byte("more"), 4)
	s.reads(f, []byte("datamore"), 0)
	s.ok(f.Fsync(s.ctx, false), "fsync")
}

func unlinkByOther(s *scope) {
	f := s.create("f")
	s.write(f, []byte("data"), 0)
	s.ok(s.second().dir.Unlink(s.ctx, "f", false), "unlink by another session")
	s.reads(f, []byte("data"), 0)
	s.write(f, []byte("DA"), 0)
	s.reads(f, []byte("DAta"), 0)
}

func unlinkOpenDirectory(s *scope) {
	f := s.openDir(s.mkdir(s.dir, "d"))
	s.ok(s.dir.Unlink(s.ctx, "d", true), "rmdir")
	raw, err := f.Readdir(s.ctx, 0, make([]byte, 4096))
	if err == nil && len(raw) > 0 {
		for len(raw) > 0 {
			var entry ninep.Dirent
			entry, raw, err = ninep.NextDirent(raw)
			s.ok(err, "directory entry")
			if entry.Name != "." && entry.Name != ".." {
				s.tb.Errorf("a removed directory has %q", entry.Name)
			}
		}
		return
	}
	if err != nil {
		s.fails(err, "readdir", unix.ENOENT, unix.ESTALE)
	}
}

func unlinkRecreate(s *scope) {
	old := s.create("f")
	s.write(old, []byte("old"), 0)
	s.ok(s.dir.Unlink(s.ctx, "f", false), "unlink")
	s.file("f", "new")
	s.reads(old, []byte("old"), 0)
	s.write(old, []byte("OLD"), 0)
	s.content("f", "new")
	if s.walk(s.dir, "f").QID().SameFile(old.QID()) {
		s.tb.Error("the new file has the qid of one that is still open")
	}
}

func unlinkRemove(s *scope) {
	s.file("f", "data")
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"f"}})
	w.must(&ninep.Tremove{Fid: 9})
	w.unbound(9)
	if s.exists(s.dir, "f") {
		s.tb.Error("the file is still there")
	}
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9})
}

func unlinkRemoveFails(s *scope) {
	s.mkdir(s.mkdir(s.dir, "d"), "inner")
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"d"}})
	w.refused(&ninep.Tremove{Fid: 9}, unix.ENOTEMPTY)
	w.unbound(9)
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9})
}

func unlinkClunk(s *scope) {
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9})
	w.must(&ninep.Tclunk{Fid: 9})
	w.unbound(9)
	w.refused(&ninep.Tclunk{Fid: 9})
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9})
}
