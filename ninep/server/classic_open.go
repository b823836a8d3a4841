package server

import (
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// open opens the fid's file for I/O by a mode of open(5).
func (c *conn) open(r *request, m *ninep.Topen) (ninep.Message, error) {
	f := r.file(0)
	switch {
	case f == nil:
		return nil, unix.EBADF
	case f.open:
		return nil, unix.EBUSY
	}
	flags, err := c.openFlags(m.Mode)
	if err != nil {
		return nil, err
	}
	if err := f.mayOpen(m.Mode); err != nil {
		return nil, err
	}
	st, err := c.openFid(f, flags)
	if err != nil {
		return nil, err
	}
	f.removeOnClose = m.Mode&ninep.ClassicRClose != 0
	return &ninep.Ropen{QID: c.qid(st), IOUnit: c.msize - ninep.IOHeaderSize}, nil
}

// openFlags translates an open mode to open(2)'s flags. A file to execute is opened to be read.
func (c *conn) openFlags(mode uint8) (int, error) {
	flags, err := c.form.openFlags(mode &^ ninep.ClassicAccess)
	switch mode & ninep.ClassicAccess {
	case ninep.ClassicWrite:
		flags |= unix.O_WRONLY
	case ninep.ClassicRDWR:
		flags |= unix.O_RDWR
	}
	return flags, err
}

// mayOpen checks what a mode asks for that open(2) does not: the permissions to execute and to remove the file.
func (f *file) mayOpen(mode uint8) error {
	executes, removes := mode&ninep.ClassicAccess == ninep.ClassicExec, mode&ninep.ClassicRClose != 0
	switch {
	case !executes && !removes:
		return nil
	case removes && f.typ == unix.S_IFDIR:
		return unix.EISDIR
	case removes && f.movable() != nil:
		return f.movable()
	}
	return f.attach.user.do(func() error {
		if executes {
			if err := access(f.fd, unix.X_OK); err != nil {
				return err
			}
		}
		if !removes {
			return nil
		}
		dir, _, err := f.locate()
		if err != nil {
			return err
		}
		defer unix.Close(dir)
		return access(dir, unix.W_OK|unix.X_OK)
	})
}

// access asks the kernel whether the thread's credentials permit a use of the file that a descriptor holds.
func access(fd int, mode uint32) error {
	return unix.Faccessat2(fd, "", mode, unix.AT_EACCESS|unix.AT_EMPTY_PATH)
}
