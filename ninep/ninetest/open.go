package ninetest

import (
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

var openRules = []rule{
	{"read-only-refuses-write", openReadOnly},
	{"write-only-refuses-read", openWriteOnly},
	{"truncates", openTruncates},
	{"directory-flag-wants-a-directory", openDirectoryFlag},
	{"directory-is-not-writable", openDirectoryWrite},
	{"twice-is-refused", openTwice},
	{"symlink-is-not-followed", openSymlink},
	{"fids-are-independent", openIndependent},
	{"iounit-fits-msize", openIounit},
	{"unopened-fid-refuses-io", openUnopened},
	{"permission-is-checked", openPermission},
}

func openReadOnly(s *scope) {
	s.file("f", "data")
	f := s.openFile("f", unix.O_RDONLY)
	_, err := f.Write(s.ctx, []byte("x"), 0)
	s.fails(err, "write to a read-only fid", unix.EBADF)
	s.reads(f, []byte("data"), 0)
}

func openWriteOnly(s *scope) {
	s.file("f", "data")
	f := s.openFile("f", unix.O_WRONLY)
	_, err := f.Read(s.ctx, make([]byte, 4), 0)
	s.fails(err, "read from a write-only fid", unix.EBADF)
	s.write(f, []byte("DA"), 0)
	s.content("f", "DAta")
}

func openTruncates(s *scope) {
	s.file("f", "data")
	s.clunk(s.openFile("f", unix.O_WRONLY|unix.O_TRUNC))
	s.content("f", "")
}

func openDirectoryFlag(s *scope) {
	s.file("f", "data")
	s.fails(s.walk(s.dir, "f").Open(s.ctx, unix.O_RDONLY|unix.O_DIRECTORY), "open a file as a directory", unix.ENOTDIR)
}

func openDirectoryWrite(s *scope) {
	for _, flags := range []uint32{unix.O_WRONLY, unix.O_RDWR} {
		s.fails(s.walk(s.dir).Open(s.ctx, flags), "open a directory for writing", unix.EISDIR)
	}
}

func openTwice(s *scope) {
	s.file("f", "data")
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"f"}})
	w.must(s.topen(9, ninep.OpenReadOnly))
	w.refused(s.topen(9, ninep.OpenReadOnly))
	w.must(&ninep.Tread{Fid: 9, Count: 4})
}

func openSymlink(s *scope) {
	s.file("f", "data")
	for name, target := range map[string]string{"file": "f", "away": "/etc/passwd", "dangling": "missing"} {
		_, err := s.dir.Symlink(s.ctx, name, target, s.server.UID)
		s.ok(err, "symlink")
		if err := s.walk(s.dir, name).Open(s.ctx, unix.O_RDONLY); err == nil {
			s.tb.Errorf("opened what %s -> %s points to", name, target)
		}
	}
}

func openIndependent(s *scope) {
	s.file("f", "data")
	a, b := s.openFile("f", unix.O_RDWR), s.openFile("f", unix.O_RDONLY)
	s.write(a, []byte("DATA"), 0)
	s.clunk(a)
	s.reads(b, []byte("DATA"), 0)
}

func openIounit(s *scope) {
	s.file("f", "data")
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"f"}})
	reply := w.must(s.topen(9, ninep.OpenReadOnly))
	if iounit := iounitOf(reply); iounit > wireMsize-ninep.ReadHeadSize {
		s.tb.Errorf("iounit %d at msize %d", iounit, wireMsize)
	}
	s.sameQID(qidOf(reply), s.walk(s.dir, "f").QID(), "the reply")
}

func openUnopened(s *scope) {
	s.file("f", "data")
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"f"}})
	w.refused(&ninep.Tread{Fid: 9, Count: 4})
	w.refused(&ninep.Twrite{Fid: 9, Data: []byte("x")})
	w.refused(s.tlist(dirFid, 4096))
	s.content("f", "data")
}

func openPermission(s *scope) {
	for _, test := range []struct {
		mode  uint32
		flags uint32
		want  unix.Errno
	}{
		{0o000, unix.O_RDONLY, unix.EACCES},
		{0o004, unix.O_RDONLY, 0},
		{0o004, unix.O_RDWR, unix.EACCES},
		{0o004, unix.O_RDONLY | unix.O_TRUNC, unix.EACCES},
		{0o002, unix.O_WRONLY, 0},
		{0o002, unix.O_RDONLY, unix.EACCES},
		{0o770, unix.O_RDONLY, unix.EACCES},
	} {
		name := "f" + itoa(int(test.mode)) + "-" + itoa(int(test.flags))
		s.file(name, "data")
		s.ok(s.walk(s.dir, name).Setattr(s.ctx, ninep.SetAttr{Valid: ninep.SetMode, Mode: test.mode}), "chmod")
		err := s.walk(s.asOther(), name).Open(s.ctx, test.flags)
		if errno(err) != test.want {
			s.tb.Errorf("mode %o, flags %#o: error %v, want %v", test.mode, test.flags, err, test.want)
		}
	}
}
