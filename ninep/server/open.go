package server

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// openFlags has the flags that are passed to the host, whose numbers differ between machines. The others concern names
// or the client's own descriptors, or would block the server (O_NONBLOCK is for what is never opened).
var openFlags = []struct {
	wire uint32
	host int
}{
	{ninep.OpenTrunc, unix.O_TRUNC},
	{ninep.OpenAppend, unix.O_APPEND},
	{ninep.OpenDsync, unix.O_DSYNC},
	{ninep.OpenDirect, unix.O_DIRECT},
	{ninep.OpenDirectory, unix.O_DIRECTORY},
	{ninep.OpenNoatime, unix.O_NOATIME},
	{ninep.OpenSync, unix.O_SYNC},
}

// hostFlags translates the flags of Tlopen and Tlcreate. The access mode has the same numbers everywhere; its fourth
// value, which Linux takes for something of its own, is refused.
func hostFlags(wire uint32) (int, error) {
	if wire&ninep.OpenAccess == ninep.OpenAccess {
		return 0, unix.EINVAL
	}
	flags := int(wire & ninep.OpenAccess)
	for _, f := range openFlags {
		if wire&f.wire == f.wire {
			flags |= f.host
		}
	}
	return flags, nil
}

func writes(flags int) bool { return flags&unix.O_ACCMODE != unix.O_RDONLY }

// lopen opens the fid's file for I/O.
func (c *conn) lopen(r *request, m *ninep.Tlopen) (ninep.Message, error) {
	f := r.file(0)
	if f == nil || f.xattr != nil {
		return nil, unix.EBADF
	}
	if f.open {
		return nil, unix.EBUSY
	}
	flags, err := hostFlags(m.Flags)
	if err != nil {
		return nil, err
	}
	st, err := c.openFid(f, flags)
	if err != nil {
		return nil, err
	}
	return &ninep.Rlopen{QID: c.server.qid(st), IOUnit: c.msize - ninep.IOHeaderSize}, nil
}

// openFid opens the file that a fid has not opened yet, which the fid's one descriptor is from then on.
func (c *conn) openFid(f *file, flags int) (st *unix.Statx_t, err error) {
	fd, err := c.server.openFile(f.attach.user, f.fd, f.typ, flags)
	if err != nil {
		return nil, err
	}
	if st, err = stat(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	f.swapFD(fd)
	f.opened(flags)
	return st, nil
}

func (f *file) opened(flags int) {
	f.open = true
	f.writable = writes(flags)
	f.direct.Store(flags&unix.O_DIRECT != 0)
	f.appends = flags&unix.O_APPEND != 0
	f.synced = flags&(unix.O_SYNC|unix.O_DSYNC) != 0
}

// openFile opens, for a user, the file that a descriptor holds and whose kind is known.
func (s *Server) openFile(user *identity, held int, typ uint32, flags int) (fd int, err error) {
	switch typ {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		if writes(flags) || flags&unix.O_TRUNC != 0 {
			return -1, unix.EISDIR
		}
		flags = unix.O_RDONLY | unix.O_DIRECTORY | flags&unix.O_NOATIME
	case unix.S_IFLNK:
		return -1, unix.ELOOP
	default:
		return -1, unix.ENXIO
	}
	if s.options.ReadOnly {
		if writes(flags) || flags&unix.O_TRUNC != 0 {
			return -1, unix.EROFS
		}
		flags |= unix.O_NOATIME
	}
	err = user.do(func() error {
		fd, err = s.reopen(held, flags)
		if errors.Is(err, unix.EPERM) && flags&unix.O_NOATIME != 0 {
			// Only a file's owner may leave its atime alone.
			fd, err = s.reopen(held, flags&^unix.O_NOATIME)
		}
		return err
	})
	return fd, err
}
