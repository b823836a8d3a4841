package server

import (
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// node is a file to be made, in the host's terms.
type node struct {
	mode   uint32 // S_IF* and permissions; without a type: a link to another file
	gid    uint32 // the group to have; NoUID: as the host has it
	target string // of a symbolic link
	dev    uint64
}

// create makes a file of any kind in the fid's directory, unless the name exists. The fid becomes the new file's: open, if
// it is a regular file or a directory.
func (c *conn) create(r *request, m *ninep.Tcreate) (ninep.Message, error) {
	at := r.held - 1 // a hard link's target stands before the directory
	dir, err := c.directory(r, at, m.Name)
	if err != nil {
		return nil, err
	}
	if dir.open {
		return nil, unix.EBUSY
	}
	st, err := stat(dir.fd)
	if err != nil {
		return nil, err
	}
	n, err := c.form.newNode(m, st)
	if err != nil {
		return nil, err
	}
	flags, err := c.createFlags(m.Mode, n.mode&unix.S_IFMT)
	if err != nil {
		return nil, err
	}
	var fd int
	if err := dir.attach.user.do(func() error {
		fd, err = n.make(dir.fd, m.Name, flags, r.file(0))
		return err
	}); err != nil {
		return nil, err
	}
	return c.created(r, at, fd, n, m.Mode, flags)
}

// createFlags are those that a new file of this type is opened with. Only a regular file can be written.
func (c *conn) createFlags(mode uint8, typ uint32) (int, error) {
	flags, err := c.openFlags(mode)
	switch {
	case err != nil || typ == unix.S_IFREG:
		return flags, err
	case typ == unix.S_IFDIR && (writes(flags) || mode&^ninep.ClassicAccess != 0):
		return 0, unix.EISDIR
	case mode&ninep.ClassicRClose != 0:
		return 0, unix.EINVAL
	}
	return unix.O_RDONLY | unix.O_DIRECTORY, nil
}

// created makes the new file that of the directory's fid.
func (c *conn) created(r *request, at, fd int, n node, mode uint8, flags int) (ninep.Message, error) {
	st, err := stat(fd)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	if n.gid != ninep.NoUID && n.gid != st.Gid {
		// A process that is not root gives the file to one of its own groups, or leaves it as it is.
		_ = unix.Fchownat(fd, "", -1, int(n.gid), unix.AT_EMPTY_PATH)
	}
	dir := r.file(at)
	f := c.newFile(dir.attach, fd, st)
	iounit := uint32(0)
	if typ := n.mode & unix.S_IFMT; typ == unix.S_IFREG || typ == unix.S_IFDIR {
		f.opened(flags)
		f.removeOnClose = mode&ninep.ClassicRClose != 0
		iounit = c.msize - ninep.IOHeaderSize
	}
	r.bind(at, f)
	dir.close()
	return &ninep.Rcreate{QID: c.qid(st), IOUnit: iounit}, nil
}

// make makes the node in a directory and returns a descriptor of it: open with the flags, or one that only holds it.
func (n node) make(dir int, name string, flags int, target *file) (int, error) {
	var err error
	switch n.mode & unix.S_IFMT {
	case unix.S_IFREG:
		return openBeneath(dir, name, flags|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, n.mode&permissions)
	case unix.S_IFDIR:
		return n.makeDirectory(dir, name, flags)
	case unix.S_IFLNK:
		err = unix.Symlinkat(n.target, dir, name)
	case 0:
		err = unix.EBADF
		if target != nil {
			err = linkTo(target, dir, name)
		}
	default:
		err = unix.Mknodat(dir, name, n.mode, int(n.dev))
	}
	if err != nil {
		return -1, err
	}
	return openName(dir, name)
}

// readable are the permissions that an owner needs to open a directory.
const readable = 0o500

// makeDirectory lets the owner in until the new directory is open, whatever its permissions are to be.
func (n node) makeDirectory(dir int, name string, flags int) (int, error) {
	mode := n.mode & permissions
	if err := unix.Mkdirat(dir, name, mode|readable); err != nil {
		return -1, err
	}
	fd, err := openBeneath(dir, name, flags|unix.O_NOFOLLOW, 0)
	if err == nil && mode&readable != readable {
		err = unix.Fchmod(fd, mode)
	}
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		// It is empty, or somebody else has put another in its place.
		_ = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
		return -1, err
	}
	return fd, nil
}
