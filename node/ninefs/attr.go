package ninefs

import (
	"errors"
	"math"
	"math/bits"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
)

// Block sizes shown: stat(2)'s st_blksize is a power of two to the kernel, and a server may name its message size.
const (
	minBlockSize = 4096
	maxBlockSize = 1 << 20
)

// hasType reports whether a mode has a type that the kernel takes. A lookup of any other it fails, and never forgets
// (fuse_lookup_name).
func hasType(mode uint32) bool {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK, unix.S_IFCHR, unix.S_IFBLK, unix.S_IFIFO, unix.S_IFSOCK:
		return true
	}
	return false
}

// kernelAttr shows attributes of a node to the kernel. A file whose size it does not take would fail for good (fuse_make_bad): one
// that a server claims beyond all offsets is as long as a file can be.
func (n *node) kernelAttr(a ninep.Attr) fuse.Attr {
	nlink := uint32(1)
	if a.Valid&ninep.AttrNlink != 0 {
		nlink = uint32(a.Nlink)
	}
	return fuse.Attr{
		Ino:       n.rec.Ino,
		Size:      min(a.Size, math.MaxInt64),
		Blocks:    a.Blocks,
		Atime:     a.Atime.Sec,
		Mtime:     a.Mtime.Sec,
		Ctime:     a.Ctime.Sec,
		AtimeNsec: nsec(a.Atime),
		MtimeNsec: nsec(a.Mtime),
		CtimeNsec: nsec(a.Ctime),
		Mode:      a.Mode,
		Nlink:     nlink,
		UID:       a.UID,
		GID:       a.GID,
		Rdev:      kernelDev(a.Rdev),
		Blksize:   blockSize(a.BlockSize),
	}
}

// nsec keeps what a server may claim within what the kernel takes.
func nsec(t ninep.Timespec) uint32 { return uint32(min(t.Nsec, 999_999_999)) }

func blockSize(size uint64) uint32 {
	size = min(max(size, minBlockSize), maxBlockSize)
	return 1 << (bits.Len64(size) - 1)
}

// kernelDev converts a device number of userspace to the kernel's 32 bits (new_encode_dev of include/linux/kdev_t.h).
func kernelDev(dev uint64) uint32 {
	major, minor := unix.Major(dev), unix.Minor(dev)
	return minor&0xff | major<<8 | minor&^0xff<<12
}

// splitDev takes the kernel's device number apart (new_decode_dev).
func splitDev(dev uint32) (major, minor uint32) {
	return dev & 0xfff00 >> 8, dev&0xff | dev>>12&0xfff00
}

// split divides a duration as FUSE wants it.
func split(d time.Duration) (sec uint64, nsec uint32) {
	return uint64(d / time.Second), uint32(d % time.Second)
}

// errnoOf is what the caller is told of an error. To the kernel ENOSYS means that no such request is to be sent ever again,
// which is not for a server to say, and a number that it does not take leaves the request unanswered (fuse_dev_do_write).
func errnoOf(err error) unix.Errno {
	var errno unix.Errno
	switch {
	case !errors.As(err, &errno), errno == 0, errno >= 512:
		return unix.EIO
	case errno == unix.ENOSYS:
		return unix.EOPNOTSUPP
	}
	return errno
}
