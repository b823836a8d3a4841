package server

import (
	"encoding/binary"
	"errors"
	"math"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// read answers Tread: the payload goes from the file into a buffer and from there to the socket.
func (c *conn) read(r *request) error {
	f := r.file(0)
	if f == nil {
		return unix.EBADF
	}
	if f.xattr != nil {
		return f.xattr.read(r, c.msize)
	}
	if !f.open {
		return unix.EBADF
	}
	if f.typ == unix.S_IFDIR {
		return c.readDirectory(r, f)
	}
	if r.io.offset > math.MaxInt64 {
		return unix.EINVAL
	}
	count := int(min(r.io.count, c.msize-ninep.ReadHeadSize))
	if c.spliceable(f, count) {
		return c.readSpliced(r, f, count)
	}
	r.payload = c.server.buffers.get(count)
	n, err := f.pread(r, r.payload.bytes[:count], int64(r.io.offset))
	if err != nil {
		return err
	}
	r.answerRead(r.payload.bytes[:n])
	return nil
}

func (f *file) pread(r *request, p []byte, offset int64) (int, error) {
	if r.hasty {
		return f.preadCached(r, p, offset)
	}
	n, err := unix.Pread(f.fd, p, offset)
	if err == unix.EINVAL && f.undirect() {
		n, err = unix.Pread(f.fd, p, offset)
	}
	return n, err
}

// write answers Twrite.
func (c *conn) write(r *request) error {
	f := r.file(0)
	if f == nil {
		return unix.EBADF
	}
	if r.source != nil && f.takesSplice() && r.io.offset <= math.MaxInt64 {
		if err := f.writeSpliced(r); !errors.Is(err, unix.EINVAL) {
			return err
		}
		// Nothing was moved: some file systems have no splice(2) to their files (ecryptfs and vboxsf of Linux 6.18).
	}
	if err := c.unpipe(r); err != nil {
		return err
	}
	data := r.payload.bytes[:r.io.count]
	if f.xattr != nil {
		if err := f.xattr.write(data, r.io.offset); err != nil {
			return err
		}
		r.answerWrite(len(data))
		return nil
	}
	if !f.open {
		return unix.EBADF
	}
	if r.io.offset > math.MaxInt64 {
		return unix.EFBIG
	}
	n, err := f.pwrite(data, int64(r.io.offset))
	if errors.Is(err, unix.EINVAL) && f.undirect() {
		n, err = f.pwrite(data, int64(r.io.offset))
	}
	if err != nil {
		return err
	}
	r.answerWrite(n)
	return nil
}

// pwrite writes as the user of the attach although the file is open: with root's capabilities a write would leave a
// setuid bit standing, and would go past a quota and into the blocks reserved for root.
func (f *file) pwrite(data []byte, offset int64) (int, error) {
	user := f.attach.user
	if err := user.enterIO(); err != nil {
		return 0, err
	}
	defer user.leaveIO()
	return unix.Pwrite(f.fd, data, offset)
}

// undirect drops O_DIRECT after the host refused an I/O with it. It returns false if that was not the reason.
func (f *file) undirect() bool {
	if !f.direct.Load() {
		return false
	}
	flags, err := unix.FcntlInt(uintptr(f.fd), unix.F_GETFL, 0)
	if err != nil {
		return false
	}
	if _, err := unix.FcntlInt(uintptr(f.fd), unix.F_SETFL, flags&^unix.O_DIRECT); err != nil {
		return false
	}
	f.direct.Store(false)
	return true
}

// answerRead makes the head of Rread and of Rreaddir by hand: Rread is too frequent to allocate for.
func (r *request) answerRead(data []byte) {
	r.putReadHead(len(data))
	r.data = data
}

// putReadHead makes the head for n bytes of data.
func (r *request) putReadHead(n int) {
	r.head = r.headRoom[:ninep.ReadHeadSize]
	r.putHeader(r.head, len(r.head)+n)
	binary.LittleEndian.PutUint32(r.head[ninep.HeaderSize:], uint32(n))
}

func (r *request) answerWrite(n int) {
	head := r.headRoom[:ninep.HeaderSize+4]
	r.putHeader(head, len(head))
	binary.LittleEndian.PutUint32(head[ninep.HeaderSize:], uint32(n))
	r.head = head
}

// putHeader writes size[4] type[1] tag[2] of the reply.
func (r *request) putHeader(head []byte, size int) {
	binary.LittleEndian.PutUint32(head, uint32(size))
	head[4] = byte(r.kind + 1)
	binary.LittleEndian.PutUint16(head[5:], r.tag)
}

// fsync makes a file or directory durable.
func (c *conn) fsync(r *request, m *ninep.Tfsync) (ninep.Message, error) {
	f := r.file(0)
	if f == nil || !f.open {
		return nil, unix.EBADF
	}
	if m.DataOnly != 0 {
		return &ninep.Rfsync{}, unix.Fdatasync(f.fd)
	}
	return &ninep.Rfsync{}, unix.Fsync(f.fd)
}
