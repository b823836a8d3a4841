package ninetest

import (
	"maps"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// errnoRules are the numbers that programs ask for by name. Errors that
// belong to one operation's own rules are with those.
var errnoRules = []rule{
	{"name-of-300-bytes", errnoLongName},
	{"missing-name", errnoMissing},
	{"file-in-the-way", errnoNotDirectory},
	{"existing-name", errnoExists},
	{"not-the-owner", errnoOwner},
}

// makers are the operations that make a name.
func (s *scope) makers(target *ninep.Fid) map[string]func(dir *ninep.Fid, name string) error {
	all := map[string]func(*ninep.Fid, string) error{
		"create": func(d *ninep.Fid, name string) error {
			_, err := s.tryCreate(d, name, unix.O_RDWR|unix.O_EXCL, 0o644)
			return err
		},
		"mkdir":   func(d *ninep.Fid, name string) error { _, err := d.Mkdir(s.ctx, name, 0o755, 0); return err },
		"symlink": func(d *ninep.Fid, name string) error { _, err := d.Symlink(s.ctx, name, "t", 0); return err },
		"mknod": func(d *ninep.Fid, name string) error {
			_, err := d.Mknod(s.ctx, name, unix.S_IFIFO|0o644, 0, 0, 0)
			return err
		},
		"link": func(d *ninep.Fid, name string) error { return d.Link(s.ctx, target, name) },
	}
	if s.dialect() == ninep.DialectLegacy {
		maps.DeleteFunc(all, func(what string, _ func(*ninep.Fid, string) error) bool { return what != "create" && what != "mkdir" })
	}
	return all
}

func errnoLongName(s *scope) {
	s.file("f", "data")
	long := strings.Repeat("x", 300)
	for what, attempt := range s.makers(s.walk(s.dir, "f")) {
		s.fails(attempt(s.dir, long), what, unix.ENAMETOOLONG)
		s.fails(attempt(s.dir, long[:ninep.MaxName+1]), what, unix.ENAMETOOLONG)
	}
	_, err := s.dir.Walk(s.ctx, long)
	s.fails(err, "walk", unix.ENAMETOOLONG)
	s.fails(s.dir.Rename(s.ctx, "f", s.dir, long), "rename", unix.ENAMETOOLONG)
	s.fails(s.dir.Unlink(s.ctx, long, false), "unlink", unix.ENAMETOOLONG)
}

func errnoMissing(s *scope) {
	_, err := s.dir.Walk(s.ctx, "missing")
	s.fails(err, "walk", unix.ENOENT)
	_, err = s.dir.Walk(s.ctx, "missing", "below")
	s.fails(err, "walk further", unix.ENOENT)
	_, _, err = s.dir.WalkAttr(s.ctx, "missing")
	s.fails(err, "walk and getattr", unix.ENOENT)
	s.fails(s.dir.Rename(s.ctx, "missing", s.dir, "x"), "rename", unix.ENOENT)
	s.fails(s.dir.Unlink(s.ctx, "missing", false), "unlink", unix.ENOENT)
}

func errnoNotDirectory(s *scope) {
	s.file("f", "data")
	_, err := s.dir.Walk(s.ctx, "f", "below")
	s.fails(err, "walk through a file", unix.ENOTDIR, unix.ENOENT)
	f := s.walk(s.dir, "f")
	for what, attempt := range s.makers(f) {
		s.fails(attempt(f, "x"), what+" in a file", unix.ENOTDIR)
	}
}

func errnoExists(s *scope) {
	s.file("f", "data")
	s.mkdir(s.dir, "d")
	for what, attempt := range s.makers(s.walk(s.dir, "f")) {
		s.fails(attempt(s.dir, "f"), what+" over a file", unix.EEXIST)
		s.fails(attempt(s.dir, "d"), what+" over a directory", unix.EEXIST)
	}
}

func errnoOwner(s *scope) {
	s.file("f", "data")
	f := s.walk(s.asOther(), "f")
	s.fails(f.Setattr(s.ctx, ninep.SetAttr{Valid: ninep.SetMode, Mode: 0o777}), "chmod", unix.EPERM)
	if s.dialect() != ninep.DialectLegacy { // which has nobody change a file's user
		s.fails(f.Setattr(s.ctx, ninep.SetAttr{Valid: ninep.SetUID, UID: s.server.OtherUID}), "chown", unix.EPERM)
	}
	s.fails(f.Setattr(s.ctx, ninep.SetAttr{Valid: ninep.SetSize}), "truncate", unix.EACCES)
	s.fails(f.Open(s.ctx, unix.O_WRONLY), "open for writing", unix.EACCES)
}
