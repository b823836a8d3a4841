package server

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// plainForm is that of 9P2000 (section 5 of the Plan 9 manual). A file is a directory or it is not, and has nine bits of
// permissions; the host's other bits stay as they are.
type plainForm struct{ server *Server }

const plainPermissions = 0o777

func (plainForm) mode(host uint32) ninep.StatMode {
	mode := ninep.StatMode(host & plainPermissions)
	if host&unix.S_IFMT == unix.S_IFDIR {
		mode |= ninep.DMDir
	}
	return mode
}

func (p plainForm) permissions(now uint32, mode ninep.StatMode) (uint32, error) {
	if (mode^p.mode(now))&^plainPermissions != 0 {
		return 0, unix.EINVAL
	}
	return now&permissions&^plainPermissions | uint32(mode)&plainPermissions, nil
}

func (plainForm) openFlags(mode uint8) (int, error) {
	flags := 0
	if mode&ninep.ClassicTrunc != 0 {
		flags = unix.O_TRUNC
	}
	if mode&^(ninep.ClassicTrunc|ninep.ClassicRClose) != 0 {
		return 0, unix.EINVAL
	}
	return flags, nil
}

// newNode gives a file no more permissions than its directory has, and the directory's group (open(5)).
func (plainForm) newNode(m *ninep.Tcreate, dir *unix.Statx_t) (node, error) {
	if m.Perm&^(ninep.DMDir|plainPermissions) != 0 {
		return node{}, unix.EOPNOTSUPP
	}
	perm, mask, typ := uint32(m.Perm)&plainPermissions, uint32(0o666), uint32(unix.S_IFREG)
	if m.Perm&ninep.DMDir != 0 {
		mask, typ = 0o777, unix.S_IFDIR
	}
	return node{mode: typ | perm&(^mask|uint32(dir.Mode)&mask), gid: dir.Gid}, nil
}

func (plainForm) describe(*ninep.Stat, *unix.Statx_t, int, string) error { return nil }

// change: atime and owner are not a client's to set (stat(5)).
func (p plainForm) change(set *ninep.SetAttr, want, now *ninep.Stat) error {
	uid, err := ownerID(ninep.NoUID, want.UID, now.UID, p.server.names.userID)
	if err != nil || changes(uid, ninep.NoUID, now.NUID) || changes(want.Atime, untouched.Atime, now.Atime) {
		return unix.EPERM
	}
	gid, err := ownerID(ninep.NoUID, want.GID, now.GID, p.server.names.groupID)
	if err == nil && changes(gid, ninep.NoUID, now.NGID) {
		set.Valid |= ninep.SetGID
		set.GID = gid
	}
	return err
}

// move refuses a name that exists (stat(5)).
func (plainForm) move(dir int, from, to string) error {
	err := unix.Renameat2(dir, from, dir, to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	// A file system that cannot promise it is asked beforehand.
	if _, err := statAt(dir, to); !errors.Is(err, unix.ENOENT) {
		return errors.Join(err, unix.EEXIST)
	}
	return unix.Renameat(dir, from, dir, to)
}
