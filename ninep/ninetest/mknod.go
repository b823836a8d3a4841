package ninetest

import (
	"golang.org/x/sys/unix"
)

var mknodRules = []rule{
	{"every-type", mknodTypes},
	{"existing-name-is-refused", mknodExisting},
	{"devices-need-root", mknodRoot},
}

func mknodTypes(s *scope) {
	for name, test := range map[string]struct{ mode, major, minor uint32 }{
		"fifo":    {unix.S_IFIFO | 0o640, 0, 0},
		"socket":  {unix.S_IFSOCK | 0o600, 0, 0},
		"file":    {unix.S_IFREG | 0o644, 0, 0},
		"null":    {unix.S_IFCHR | 0o666, 1, 3},
		"big-chr": {unix.S_IFCHR | 0o600, 300, 70000},
		"block":   {unix.S_IFBLK | 0o600, 7, 0},
	} {
		qid, err := s.dir.Mknod(s.ctx, name, test.mode, test.major, test.minor, s.server.OtherUID)
		s.ok(err, "mknod "+name)
		f := s.walk(s.dir, name)
		s.sameQID(f.QID(), qid, "Rmknod")
		attr := s.attr(f)
		if attr.Mode != test.mode || attr.GID != s.madeFor(s.server.OtherUID) {
			s.tb.Errorf("%s: mode %o, group %d", name, attr.Mode, attr.GID)
		}
		if want := unix.Mkdev(test.major, test.minor); attr.Rdev != want {
			s.tb.Errorf("%s: rdev %#x, want %#x", name, attr.Rdev, want)
		}
	}
}

func mknodExisting(s *scope) {
	s.file("f", "data")
	_, err := s.dir.Mknod(s.ctx, "f", unix.S_IFIFO|0o644, 0, 0, 0)
	s.fails(err, "mknod over a file", unix.EEXIST)
}

func mknodRoot(s *scope) {
	dir := s.asOther()
	_, err := dir.Mknod(s.ctx, "null", unix.S_IFCHR|0o666, 1, 3, s.server.OtherUID)
	s.fails(err, "mknod of a device by another user", unix.EPERM)
	_, err = dir.Mknod(s.ctx, "fifo", unix.S_IFIFO|0o666, 0, 0, s.server.OtherUID)
	s.ok(err, "mknod of a fifo by another user")
	if uid := s.attrOf("fifo").UID; uid != s.server.OtherUID {
		s.tb.Errorf("the fifo belongs to %d", uid)
	}
}
