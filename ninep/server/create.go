package server

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// createTries is how often a file that comes and goes under its name is tried before the client is told.
const createTries = 8

// lcreate makes a regular file in the fid's directory and opens it; the fid becomes the file's. Without O_EXCL a file
// that is there already is opened.
func (c *conn) lcreate(r *request, m *ninep.Tlcreate) (ninep.Message, error) {
	dir, err := c.directory(r, 0, m.Name)
	if err != nil {
		return nil, err
	}
	if dir.open {
		return nil, unix.EBUSY
	}
	flags, err := hostFlags(m.Flags)
	if err != nil {
		return nil, err
	}
	flags &^= unix.O_DIRECTORY
	fd, err := c.server.create(dir, m, flags)
	if err != nil {
		return nil, err
	}
	st, err := stat(fd)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	f := c.newFile(dir.attach, fd, st)
	f.opened(flags)
	r.bind(0, f)
	dir.close()
	return &ninep.Rlcreate{QID: c.server.qid(st), IOUnit: c.msize - ninep.IOHeaderSize}, nil
}

// create always asks the kernel for a file that is new, because an open with O_CREAT alone would open a device or wait
// for a pipe's other end.
func (s *Server) create(dir *file, m *ninep.Tlcreate, flags int) (fd int, err error) {
	user := dir.attach.user
	for range createTries {
		err = user.create(dir.fd, m.Name, m.GID, func() error {
			fd, err = openBeneath(dir.fd, m.Name, flags|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, m.Mode&permissions)
			return err
		})
		if !errors.Is(err, unix.EEXIST) || m.Flags&ninep.OpenExcl != 0 {
			return fd, err
		}
		if fd, err = s.openExisting(dir, m.Name, flags); !errors.Is(err, unix.ENOENT) {
			return fd, err
		}
	}
	return -1, err
}

func (s *Server) openExisting(dir *file, name string, flags int) (fd int, err error) {
	user := dir.attach.user
	var held int
	if err := user.do(func() error { held, err = openName(dir.fd, name); return err }); err != nil {
		return -1, err
	}
	defer unix.Close(held)
	st, err := stat(held)
	if err != nil {
		return -1, err
	}
	typ := uint32(st.Mode) & unix.S_IFMT
	if typ == unix.S_IFDIR {
		return -1, unix.EISDIR
	}
	return s.openFile(user, held, typ, flags)
}

// permissions are the mode's bits that a client chooses.
const permissions = 0o7777

func (c *conn) mkdir(r *request, m *ninep.Tmkdir) (ninep.Message, error) {
	qid, err := c.make(r, m.Name, m.GID, func(dir int) error { return unix.Mkdirat(dir, m.Name, m.Mode&permissions) })
	return &ninep.Rmkdir{QID: qid}, err
}

func (c *conn) symlink(r *request, m *ninep.Tsymlink) (ninep.Message, error) {
	qid, err := c.make(r, m.Name, m.GID, func(dir int) error { return unix.Symlinkat(m.Target, dir, m.Name) })
	return &ninep.Rsymlink{QID: qid}, err
}

func (c *conn) mknod(r *request, m *ninep.Tmknod) (ninep.Message, error) {
	mode := m.Mode & (unix.S_IFMT | permissions)
	qid, err := c.make(r, m.Name, m.GID, func(dir int) error {
		return unix.Mknodat(dir, m.Name, mode, int(unix.Mkdev(m.Major, m.Minor)))
	})
	return &ninep.Rmknod{QID: qid}, err
}

// make makes an entry in the directory of the request's fid.
func (c *conn) make(r *request, name string, gid uint32, call func(dir int) error) (ninep.QID, error) {
	dir, err := c.directory(r, 0, name)
	if err != nil {
		return ninep.QID{}, err
	}
	var st *unix.Statx_t
	err = dir.attach.user.create(dir.fd, name, gid, func() error {
		if err := call(dir.fd); err != nil {
			return err
		}
		st, err = statAt(dir.fd, name)
		return err
	})
	if err != nil {
		return ninep.QID{}, err
	}
	return c.server.qid(st), nil
}

// link makes another name of a file.
func (c *conn) link(r *request, m *ninep.Tlink) (ninep.Message, error) {
	dir, err := c.directory(r, 0, m.Name)
	if err != nil {
		return nil, err
	}
	f := r.file(1)
	if f == nil || f.xattr != nil {
		return nil, unix.EBADF
	}
	return &ninep.Rlink{}, dir.attach.user.do(func() error { return linkTo(f, dir.fd, m.Name) })
}

// linkTo makes another name of the very file that a fid holds.
func linkTo(f *file, dir int, name string) error {
	return unix.Linkat(unix.AT_FDCWD, procPath(f.fd), dir, name, unix.AT_SYMLINK_FOLLOW)
}

// directory returns the directory of the i-th fid, in which the request wants to change the entry of that name.
func (c *conn) directory(r *request, i int, name string) (*file, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	dir := r.file(i)
	switch {
	case dir == nil || dir.xattr != nil:
		return nil, unix.EBADF
	case dir.typ != unix.S_IFDIR:
		return nil, unix.ENOTDIR
	case c.server.options.ReadOnly:
		return nil, unix.EROFS
	}
	return dir, nil
}
