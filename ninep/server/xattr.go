package server

import (
	"errors"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// xattr is an extended attribute, or the list of names, behind a fid.
type xattr struct {
	mu      sync.Mutex
	name    string
	value   []byte // as read, or as far as written
	charge  int64  // of the connection's quota
	writing bool
	size    int    // announced, when writing
	flags   uint32 // of setxattr(2), when writing
}

// read answers Tread from the value.
func (x *xattr) read(r *request, msize uint32) error {
	if x.writing {
		return unix.EBADF
	}
	data := x.value[min(r.io.offset, uint64(len(x.value))):]
	r.answerRead(data[:min(len(data), int(r.io.count), int(msize-ninep.ReadHeadSize))])
	return nil
}

// write takes the next piece of the value.
func (x *xattr) write(data []byte, offset uint64) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case !x.writing:
		return unix.EBADF
	case offset != uint64(len(x.value)):
		return unix.EINVAL
	case len(x.value)+len(data) > x.size:
		return unix.ENOSPC
	}
	x.value = append(x.value, data...)
	return nil
}

// xattrwalk reads an attribute, or the list of all names if none is given, for a new fid to read it from.
func (c *conn) xattrwalk(r *request, m *ninep.Txattrwalk) (ninep.Message, error) {
	f := r.file(0)
	if f == nil || f.xattr != nil {
		return nil, unix.EBADF
	}
	if strings.ContainsRune(m.Name, 0) {
		return nil, unix.EINVAL
	}
	var value []byte
	err := f.attach.user.do(func() (err error) {
		value, err = readXattr(procPath(f.fd), m.Name)
		return err
	})
	if err != nil {
		return nil, err
	}
	x := &xattr{name: m.Name, value: value, charge: int64(len(value))}
	if !c.xattrs.take(x.charge) {
		return nil, unix.ENOMEM
	}
	r.bind(1, &file{conn: c, attach: f.attach.share(), fd: -1, xattr: x})
	return &ninep.Rxattrwalk{Size: uint64(len(value))}, nil
}

// readXattr asks for the size first; an attribute that grows meanwhile is asked for again.
func readXattr(path, name string) ([]byte, error) {
	call := func(b []byte) (int, error) { return unix.Getxattr(path, name, b) }
	if name == "" {
		call = func(b []byte) (int, error) { return unix.Listxattr(path, b) }
	}
	for {
		n, err := call(nil)
		if err != nil || n == 0 {
			return nil, err
		}
		value := make([]byte, n)
		n, err = call(value)
		if !errors.Is(err, unix.ERANGE) {
			return value[:max(n, 0)], err
		}
	}
}

// xattrcreate makes the fid one that an attribute is written through.
func (c *conn) xattrcreate(r *request, m *ninep.Txattrcreate) (ninep.Message, error) {
	f := r.file(0)
	switch {
	case f == nil || f.xattr != nil:
		return nil, unix.EBADF
	case c.server.options.ReadOnly:
		return nil, unix.EROFS
	case m.Size > maxXattrSize:
		return nil, unix.E2BIG
	case m.Name == "" || strings.ContainsRune(m.Name, 0) || m.Flags&^(ninep.XattrCreate|ninep.XattrReplace) != 0:
		return nil, unix.EINVAL
	case !c.xattrs.take(int64(m.Size)):
		return nil, unix.ENOMEM
	}
	f.xattr = &xattr{name: m.Name, writing: true, size: int(m.Size), flags: m.Flags, charge: int64(m.Size)}
	return &ninep.Rxattrcreate{}, nil
}

// clunk ends a fid, and sets the attribute that was written through it, or removes its file if it was opened for that; the
// error is that of setxattr(2) or unlink(2).
func (c *conn) clunk(r *request) (ninep.Message, error) {
	f := r.file(0)
	if f == nil {
		return nil, unix.EBADF
	}
	if f.removeOnClose {
		f.removeOnClose = false
		return &ninep.Rclunk{}, f.unlink()
	}
	if f.xattr == nil || !f.xattr.writing {
		return &ninep.Rclunk{}, nil
	}
	return &ninep.Rclunk{}, f.attach.user.do(func() error { return f.xattr.commit(procPath(f.fd)) })
}

// commit sets the attribute, or removes it: Linux asks for that by a size of 0 and XATTR_REPLACE.
func (x *xattr) commit(path string) error {
	switch {
	case len(x.value) != x.size:
		return unix.EINVAL
	case x.size == 0 && x.flags == ninep.XattrReplace:
		return unix.Removexattr(path, x.name)
	}
	return unix.Setxattr(path, x.name, x.value, int(x.flags))
}
