package server

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// unixForm is that of 9P2000.u, as its draft (https://ericvh.github.io/9p-rfc/rfc9p2000.u.html) leaves room for and Linux's
// client and QEMU fill it: permissions are taken as they are sent, because the client has applied its umask, and a
// rename replaces what has the name, as rename(2) does.
type unixForm struct{ server *Server }

// fileKinds are the wire's bits for what kind of file it is; a regular one has none.
const fileKinds = ninep.DMDir | ninep.DMSymlink | ninep.DMLink | ninep.DMDevice | ninep.DMNamedPipe | ninep.DMSocket

// unixBits are the mode's bits beside the nine permissions.
var unixBits = []struct {
	wire ninep.StatMode
	host uint32
}{{ninep.DMSetUID, unix.S_ISUID}, {ninep.DMSetGID, unix.S_ISGID}, {ninep.DMSetVTX, unix.S_ISVTX}}

func (unixForm) mode(host uint32) ninep.StatMode {
	mode := ninep.StatMode(host & plainPermissions)
	for _, b := range unixBits {
		if host&b.host != 0 {
			mode |= b.wire
		}
	}
	switch host & unix.S_IFMT {
	case unix.S_IFDIR:
		mode |= ninep.DMDir
	case unix.S_IFLNK:
		mode |= ninep.DMSymlink
	case unix.S_IFCHR, unix.S_IFBLK:
		mode |= ninep.DMDevice
	case unix.S_IFIFO:
		mode |= ninep.DMNamedPipe
	case unix.S_IFSOCK:
		mode |= ninep.DMSocket
	}
	return mode
}

// unixPermissions are the bits of the wire's mode that can change.
const unixPermissions = ninep.DMSetUID | ninep.DMSetGID | ninep.DMSetVTX | plainPermissions

func (u unixForm) permissions(now uint32, mode ninep.StatMode) (uint32, error) {
	if (mode^u.mode(now))&^unixPermissions != 0 {
		return 0, unix.EINVAL
	}
	return hostPermissions(mode), nil
}

func hostPermissions(mode ninep.StatMode) uint32 {
	host := uint32(mode) & plainPermissions
	for _, b := range unixBits {
		if mode&b.wire != 0 {
			host |= b.host
		}
	}
	return host
}

func (unixForm) openFlags(mode uint8) (int, error) {
	flags, err := plainForm{}.openFlags(mode &^ ninep.ClassicAppend)
	if mode&ninep.ClassicAppend != 0 {
		flags |= unix.O_APPEND
	}
	return flags, err
}

func (unixForm) newNode(m *ninep.Tcreate, _ *unix.Statx_t) (node, error) {
	if m.Perm&^(fileKinds|unixPermissions) != 0 {
		return node{}, unix.EOPNOTSUPP
	}
	n := node{mode: hostPermissions(m.Perm), gid: ninep.NoUID}
	var err error
	switch m.Perm & fileKinds {
	case 0:
		n.mode |= unix.S_IFREG
	case ninep.DMDir:
		n.mode |= unix.S_IFDIR
	case ninep.DMSymlink:
		n.mode |= unix.S_IFLNK
		n.target = m.Extension
	case ninep.DMLink:
		n.mode = 0
	case ninep.DMDevice:
		var typ uint32
		typ, n.dev, err = parseDevice(m.Extension)
		n.mode |= typ
	case ninep.DMNamedPipe:
		n.mode |= unix.S_IFIFO
	case ninep.DMSocket:
		n.mode |= unix.S_IFSOCK
	default:
		err = unix.EINVAL
	}
	return n, err
}

// parseDevice reads what a device is made of: "b MAJOR MINOR" or "c MAJOR MINOR".
func parseDevice(extension string) (typ uint32, dev uint64, err error) {
	var kind rune
	var major, minor uint32
	if _, err := fmt.Sscanf(extension, "%c %d %d", &kind, &major, &minor); err != nil {
		return 0, 0, unix.EINVAL
	}
	switch kind {
	case 'b':
		typ = unix.S_IFBLK
	case 'c':
		typ = unix.S_IFCHR
	default:
		return 0, 0, unix.EINVAL
	}
	return typ, unix.Mkdev(major, minor), nil
}

// describe adds what a file is made of. The number of links is told where the draft has nothing to say.
func (unixForm) describe(d *ninep.Stat, st *unix.Statx_t, fd int, name string) error {
	switch uint32(st.Mode) & unix.S_IFMT {
	case unix.S_IFLNK:
		var err error
		d.Extension, err = readLink(fd, name)
		return err
	case unix.S_IFBLK:
		d.Extension = fmt.Sprintf("b %d %d", st.Rdev_major, st.Rdev_minor)
	case unix.S_IFCHR:
		d.Extension = fmt.Sprintf("c %d %d", st.Rdev_major, st.Rdev_minor)
	case unix.S_IFREG, unix.S_IFDIR:
		d.Extension = fmt.Sprintf("HARDLINKCOUNT %d", st.Nlink)
	}
	return nil
}

// change: the numbers go before the names.
func (u unixForm) change(set *ninep.SetAttr, want, now *ninep.Stat) error {
	if changes(want.Extension, untouched.Extension, now.Extension) || changes(want.NMUID, untouched.NMUID, now.NMUID) {
		return unix.EPERM
	}
	if changes(want.Atime, untouched.Atime, now.Atime) {
		set.Valid |= ninep.SetAtime | ninep.SetAtimeGiven
		set.Atime = ninep.Timespec{Sec: uint64(want.Atime)}
	}
	uid, err := ownerID(want.NUID, want.UID, now.UID, u.server.names.userID)
	if err != nil {
		return err
	}
	gid, err := ownerID(want.NGID, want.GID, now.GID, u.server.names.groupID)
	if err != nil {
		return err
	}
	if changes(uid, ninep.NoUID, now.NUID) {
		set.Valid |= ninep.SetUID
		set.UID = uid
	}
	if changes(gid, ninep.NoUID, now.NGID) {
		set.Valid |= ninep.SetGID
		set.GID = gid
	}
	return nil
}

func (unixForm) move(dir int, from, to string) error { return unix.Renameat(dir, from, dir, to) }
