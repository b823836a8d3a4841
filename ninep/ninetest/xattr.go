package ninetest

import (
	"bytes"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

var xattrRules = []rule{
	{"set-get-list-remove", xattrLife},
	{"values-of-any-size", xattrSizes},
	{"create-and-replace", xattrFlags},
	{"missing-is-enodata", xattrMissing},
	{"of-a-directory", xattrDirectory},
	{"many-names", xattrMany},
	{"too-long-is-refused", xattrTooLong},
	{"symlink-is-not-followed", xattrSymlink},
	{"is-in-the-servers-file", xattrHost},
	{"clunk-short-of-the-size-sets-nothing", xattrShort},
}

func (s *scope) setxattr(f *ninep.Fid, name string, value []byte) {
	s.tb.Helper()
	s.ok(f.SetXattr(s.ctx, name, value, 0), "setxattr "+name)
}

// xattr fails unless the attribute has exactly that value.
func (s *scope) xattr(f *ninep.Fid, name string, want []byte) {
	s.tb.Helper()
	got, err := f.GetXattr(s.ctx, name)
	s.ok(err, "getxattr "+name)
	if !bytes.Equal(got, want) {
		s.tb.Errorf("%s: %s", name, difference(got, want))
	}
}

func (s *scope) xattrs(f *ninep.Fid, want ...string) {
	s.tb.Helper()
	got, err := f.ListXattr(s.ctx)
	s.ok(err, "listxattr")
	// A security module of the host may have added its own.
	got = slices.DeleteFunc(got, func(name string) bool { return !strings.HasPrefix(name, "user.") })
	if !slices.Equal(sorted(got), sorted(want)) {
		s.tb.Errorf("listed %q, want %q", got, want)
	}
}

func xattrLife(s *scope) {
	s.file("f", "data")
	f := s.walk(s.dir, "f")
	s.xattrs(f)
	s.setxattr(f, "user.one", []byte("1"))
	s.setxattr(f, "user.two", []byte("2\x00\xff"))
	s.xattr(f, "user.one", []byte("1"))
	s.xattr(f, "user.two", []byte("2\x00\xff"))
	s.xattrs(f, "user.one", "user.two")
	s.setxattr(f, "user.one", []byte("another"))
	s.xattr(f, "user.one", []byte("another"))
	s.ok(f.RemoveXattr(s.ctx, "user.one"), "removexattr")
	s.xattrs(f, "user.two")
	s.content("f", "data")
}

func xattrSizes(s *scope) {
	s.file("f", "data")
	f := s.walk(s.dir, "f")
	for i, n := range []int{1, 2, 100, 1023, 1024, 3000} {
		value := random(uint64(20+i), n)
		s.setxattr(f, "user.sized", value)
		s.xattr(f, "user.sized", value)
	}
}

func xattrFlags(s *scope) {
	s.file("f", "data")
	f := s.walk(s.dir, "f")
	s.fails(f.SetXattr(s.ctx, "user.a", []byte("x"), unix.XATTR_REPLACE), "replace what is missing", unix.ENODATA)
	s.ok(f.SetXattr(s.ctx, "user.a", []byte("1"), unix.XATTR_CREATE), "create")
	s.fails(f.SetXattr(s.ctx, "user.a", []byte("2"), unix.XATTR_CREATE), "create what exists", unix.EEXIST)
	s.xattr(f, "user.a", []byte("1"))
	s.ok(f.SetXattr(s.ctx, "user.a", []byte("3"), unix.XATTR_REPLACE), "replace")
	s.xattr(f, "user.a", []byte("3"))
}

func xattrMissing(s *scope) {
	s.file("f", "data")
	f := s.walk(s.dir, "f")
	_, err := f.GetXattr(s.ctx, "user.missing")
	s.fails(err, "get", unix.ENODATA)
	s.fails(f.RemoveXattr(s.ctx, "user.missing"), "remove", unix.ENODATA)
}

func xattrDirectory(s *scope) {
	d := s.mkdir(s.dir, "d")
	s.setxattr(d, "user.a", []byte("value"))
	s.xattr(d, "user.a", []byte("value"))
	s.xattrs(d, "user.a")
	open := s.openDir(d)
	s.xattr(open, "user.a", []byte("value"))
}

func xattrMany(s *scope) {
	s.file("f", "data")
	f := s.walk(s.dir, "f")
	var names []string
	for i := range 30 {
		names = append(names, "user.name-"+itoa(i)+strings.Repeat("x", i))
		s.setxattr(f, names[i], []byte{byte(i)})
	}
	s.xattrs(f, names...)
	for i, name := range names {
		s.xattr(f, name, []byte{byte(i)})
	}
}

func xattrTooLong(s *scope) {
	s.file("f", "data")
	f := s.walk(s.dir, "f")
	err := f.SetXattr(s.ctx, "user."+strings.Repeat("x", 251), []byte("x"), 0)
	s.fails(err, "a name of 256 bytes", unix.ERANGE, unix.ENAMETOOLONG)
	err = f.SetXattr(s.ctx, "user.big", make([]byte, 65537), 0)
	s.fails(err, "a value of 65,537 bytes", unix.E2BIG, unix.ENOSPC, unix.ERANGE, unix.EINVAL)
	err = f.SetXattr(s.ctx, "nonsense", []byte("x"), 0)
	s.fails(err, "no name space", unix.EOPNOTSUPP, unix.EPERM, unix.EINVAL)
	s.xattrs(f)
	s.content("f", "data")
}

// xattrSymlink: the kernel lets no one have user attributes on a link
// (xattr(7)), so that one that can be set is on what it points to.
func xattrSymlink(s *scope) {
	s.file("f", "data")
	s.setxattr(s.walk(s.dir, "f"), "user.a", []byte("value"))
	_, err := s.dir.Symlink(s.ctx, "l", "f", s.server.UID)
	s.ok(err, "symlink")
	link := s.walk(s.dir, "l")
	if value, err := link.GetXattr(s.ctx, "user.a"); err == nil {
		s.tb.Errorf("read %q through a link", value)
	}
	if err := link.SetXattr(s.ctx, "user.b", []byte("x"), 0); err == nil {
		s.tb.Error("set an attribute through a link")
	}
	s.xattrs(s.walk(s.dir, "f"), "user.a")
}

func xattrHost(s *scope) {
	s.needsRoot()
	s.file("f", "data")
	f := s.walk(s.dir, "f")
	s.setxattr(f, "user.a", []byte("value"))
	buf := make([]byte, 100)
	n, err := unix.Getxattr(s.hostPath("f"), "user.a", buf)
	s.ok(err, "getxattr on the server")
	if string(buf[:n]) != "value" {
		s.tb.Errorf("the server has %q", buf[:n])
	}
	s.ok(unix.Setxattr(s.hostPath("f"), "user.b", []byte("theirs"), 0), "setxattr on the server")
	s.xattr(f, "user.b", []byte("theirs"))
}

// xattrShort: Txattrcreate announced more than was written.
func xattrShort(s *scope) {
	s.file("f", "data")
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"f"}})
	w.must(&ninep.Txattrcreate{Fid: 9, Name: "user.a", Size: 10})
	w.must(&ninep.Twrite{Fid: 9, Data: []byte("short")})
	w.refused(&ninep.Tclunk{Fid: 9})
	w.unbound(9)
	s.xattrs(s.walk(s.dir, "f"))
}
