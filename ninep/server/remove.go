package server

import (
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

func (c *conn) unlinkat(r *request, m *ninep.Tunlinkat) (ninep.Message, error) {
	if m.Flags&^ninep.UnlinkDir != 0 {
		return nil, unix.EINVAL
	}
	dir, err := c.directory(r, 0, m.Name)
	if err != nil {
		return nil, err
	}
	flags := 0
	if m.Flags&ninep.UnlinkDir != 0 {
		flags = unix.AT_REMOVEDIR
	}
	return &ninep.Runlinkat{}, dir.attach.user.do(func() error { return unix.Unlinkat(dir.fd, m.Name, flags) })
}

// remove removes the fid's file by the name that it has now. The fid is given back in any case, as the request's end.
func (c *conn) remove(r *request) (ninep.Message, error) {
	f := r.file(0)
	if f == nil || f.xattr != nil {
		return nil, unix.EBADF
	}
	f.removeOnClose = false
	return &ninep.Rremove{}, f.unlink()
}

// unlink removes the file by the name that it has now.
func (f *file) unlink() error {
	if err := f.movable(); err != nil {
		return err
	}
	flags := 0
	if f.typ == unix.S_IFDIR {
		flags = unix.AT_REMOVEDIR
	}
	return f.attach.user.do(func() error {
		dir, name, err := f.locate()
		if err != nil {
			return err
		}
		defer unix.Close(dir)
		return unix.Unlinkat(dir, name, flags)
	})
}

func (c *conn) renameat(r *request, m *ninep.Trenameat) (ninep.Message, error) {
	from, err := c.directory(r, 0, m.OldName)
	if err != nil {
		return nil, err
	}
	to, err := c.directory(r, 1, m.NewName)
	if err != nil {
		return nil, err
	}
	return &ninep.Rrenameat{}, from.attach.user.do(func() error {
		return unix.Renameat(from.fd, m.OldName, to.fd, m.NewName)
	})
}

// rename moves the fid's file from where it is now.
func (c *conn) rename(r *request, m *ninep.Trename) (ninep.Message, error) {
	f := r.file(0)
	if f == nil || f.xattr != nil {
		return nil, unix.EBADF
	}
	to, err := c.directory(r, 1, m.Name)
	if err != nil {
		return nil, err
	}
	if err := f.movable(); err != nil {
		return nil, err
	}
	return &ninep.Rrename{}, f.attach.user.do(func() error {
		dir, name, err := f.locate()
		if err != nil {
			return err
		}
		defer unix.Close(dir)
		return unix.Renameat(dir, name, to.fd, m.Name)
	})
}

// movable refuses to remove or move the attach's root.
func (f *file) movable() error {
	switch {
	case f.conn.server.options.ReadOnly:
		return unix.EROFS
	case f.id == f.attach.id:
		return unix.EBUSY
	}
	return nil
}
