package ninetest

import (
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

var getattrRules = []rule{
	{"valid-covers-what-was-asked", getattrValid},
	{"agrees-with-the-servers-stat", getattrHost},
	{"links-of-a-directory", getattrNlink},
	{"size-and-blocks", getattrBlocks},
	{"of-a-symlink-itself", getattrSymlink},
	{"qid-is-the-walks", getattrQID},
	{"after-unlink-through-an-open-fid", getattrUnlinked},
}

func getattrValid(s *scope) {
	s.file("f", "data")
	f := s.walk(s.dir, "f")
	for _, mask := range []ninep.AttrMask{
		ninep.AttrBasic, ninep.AttrAll, ninep.AttrMode, ninep.AttrSize, ninep.AttrMtime | ninep.AttrSize,
	} {
		attr, err := f.Getattr(s.ctx, mask)
		s.ok(err, "getattr")
		if want := mask & ninep.AttrBasic; attr.Valid&want != want {
			s.tb.Errorf("asked for %#x, valid is %#x", mask, attr.Valid)
		}
		if mask&ninep.AttrSize != 0 && attr.Size != 4 {
			s.tb.Errorf("mask %#x: size %d, want 4", mask, attr.Size)
		}
	}
}

// getattrHost compares every field with stat(2) on the server.
func getattrHost(s *scope) {
	s.needsRoot()
	s.file("f", string(random(7, 10000)))
	s.mkdir(s.dir, "d")
	_, err := s.dir.Symlink(s.ctx, "l", "target", s.server.UID)
	s.ok(err, "symlink")
	for _, name := range []string{"f", "d", "l"} {
		var st unix.Stat_t
		s.ok(unix.Lstat(s.hostPath(name), &st), "stat on the server")
		got := s.attrOf(name)
		got.BlockSize, got.Btime, got.Gen, got.DataVersion = 0, ninep.Timespec{}, 0, 0
		want := ninep.Attr{
			Valid: got.Valid, QID: got.QID, Mode: st.Mode, UID: st.Uid, GID: st.Gid,
			Nlink: uint64(st.Nlink), //nolint:unconvert // 32 bits on arm64
			Rdev:  st.Rdev, Size: uint64(st.Size), Blocks: uint64(st.Blocks),
			Atime: timespec(st.Atim), Mtime: timespec(st.Mtim), Ctime: timespec(st.Ctim),
		}
		if got != want {
			s.tb.Errorf("%s:\ngot  %+v\nwant %+v", name, got, want)
		}
	}
}

func timespec(t unix.Timespec) ninep.Timespec {
	return ninep.Timespec{Sec: uint64(t.Sec), Nsec: uint64(t.Nsec)}
}

func getattrNlink(s *scope) {
	before := s.attr(s.dir)
	if before.Mode&unix.S_IFMT != unix.S_IFDIR || before.Nlink < 1 {
		s.tb.Errorf("directory: mode %o, %d links", before.Mode, before.Nlink)
	}
	s.mkdir(s.dir, "d")
	// 1 is what file systems answer that do not count subdirectories (btrfs).
	if after := s.attr(s.dir); after.Nlink != before.Nlink+1 && after.Nlink != 1 {
		s.tb.Errorf("%d links before, %d after mkdir", before.Nlink, after.Nlink)
	}
}

func getattrBlocks(s *scope) {
	f := s.create("f")
	s.write(f, random(8, 1<<20), 1<<30)
	s.ok(f.Fsync(s.ctx, false), "fsync")
	attr := s.attr(f)
	if attr.Size != 1<<30+1<<20 {
		s.tb.Errorf("size %d", attr.Size)
	}
	if attr.Blocks < 1<<20/512 || attr.Blocks > 1<<24/512 {
		s.tb.Errorf("1 MiB after a hole takes %d blocks of 512 bytes", attr.Blocks)
	}
	if attr.BlockSize == 0 {
		s.tb.Error("block size 0")
	}
}

func getattrSymlink(s *scope) {
	_, err := s.dir.Symlink(s.ctx, "l", "/etc/passwd", s.server.UID)
	s.ok(err, "symlink")
	if attr := s.attrOf("l"); attr.Mode&unix.S_IFMT != unix.S_IFLNK || attr.Size != uint64(len("/etc/passwd")) {
		s.tb.Errorf("mode %o, size %d", attr.Mode, attr.Size)
	}
}

func getattrQID(s *scope) {
	s.file("f", "data")
	for _, f := range []*ninep.Fid{s.root, s.dir, s.walk(s.dir, "f")} {
		s.sameQID(s.attr(f).QID, f.QID(), f.Path())
	}
	s.file("g", "data")
	if s.walk(s.dir, "f").QID().SameFile(s.walk(s.dir, "g").QID()) {
		s.tb.Error("two files have one qid")
	}
}

func getattrUnlinked(s *scope) {
	f := s.create("f")
	s.write(f, []byte("data"), 0)
	s.ok(s.dir.Unlink(s.ctx, "f", false), "unlink")
	if attr := s.attr(f); attr.Nlink != 0 || attr.Size != 4 {
		s.tb.Errorf("%d links, size %d", attr.Nlink, attr.Size)
	}
}
