package server

import (
	"encoding/binary"
	"errors"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// A request that waits for nothing but memory is answered by the worker whose turn it is to read, which keeps its turn:
// to have another goroutine read meanwhile costs more than such a request does. What turns out to wait for the disk after
// all, or may wait for another machine, is answered as any other.

const (
	// quickRead is how many bytes a Tread may ask for to be answered at once.
	quickRead = 64 << 10
	// quickBytes of replies, or less when nothing more has come, are sent together.
	quickBytes = 64 << 10
)

// errWouldWait is what becomes of a hasty request that would have to wait. Nothing was done then.
var errWouldWait = errors.New("would wait")

// medium is what a file system keeps its files in.
type medium uint8

const (
	elsewhere medium = iota // who knows: requests may wait for long
	disk
	memory
)

// media are the file systems that are known not to ask another machine (linux/magic.h).
var media = map[int64]medium{
	unix.EXT4_SUPER_MAGIC:  disk,
	unix.XFS_SUPER_MAGIC:   disk,
	unix.BTRFS_SUPER_MAGIC: disk,
	unix.F2FS_SUPER_MAGIC:  disk,
	unix.TMPFS_MAGIC:       memory,
}

// mediumOf tells it of the file system that a descriptor is on.
func mediumOf(fd int) medium {
	var st unix.Statfs_t
	if unix.Fstatfs(fd, &st) != nil {
		return elsewhere
	}
	return media[st.Type]
}

// medium is what the file is kept in. Of other file systems than the root's nothing is known.
func (f *file) medium() medium {
	if s := f.conn.server; f.id.dev == s.rootDev {
		return s.medium
	}
	return elsewhere
}

// quick answers a request whose turn it is, if that takes no waiting. Otherwise it returns false, and the request is as it was.
func (c *conn) quick(r *request) bool {
	if c.outlet.raw == nil || !r.maybeQuick() {
		return false
	}
	r.hasty = true
	c.carryOut(r)
	r.hasty = false
	if errors.Is(r.err, errWouldWait) {
		c.server.buffers.put(r.payload)
		r.payload, r.head, r.err = nil, nil, nil
		return false
	}
	c.finish(r)
	return true
}

// ready reports whether the request waits for no other.
func (r *request) ready() bool {
	for _, h := range r.holds[:r.held] {
		if h.ready != nil {
			return false
		}
	}
	return true
}

// maybeQuick reports whether it is worth a try.
func (r *request) maybeQuick() bool {
	if !r.ready() {
		return false
	}
	if r.err != nil {
		return true
	}
	if r.held == 0 || r.file(0) == nil || r.file(0).xattr != nil || r.file(0).medium() == elsewhere {
		return false
	}
	f := r.file(0)
	switch m := r.msg.(type) {
	case nil:
		return r.kind == ninep.TypeTread && r.io.count <= quickRead && f.open && f.typ == unix.S_IFREG && !f.direct.Load()
	case *ninep.Tgetattr:
		return true
	case *ninep.Twalk:
		return !f.open && !f.attach.user.switched && len(m.Names) <= 2 && !slices.Contains(m.Names, "..")
	case *ninep.Tclunk:
		return !f.open && !f.locked.Load() // the last to close a file that was removed has the disk give back its blocks
	}
	return false
}

// preadCached reads what is in memory already: all of p, or up to the end of the file.
func (f *file) preadCached(r *request, p []byte, offset int64) (int, error) {
	if f.medium() == memory {
		return unix.Pread(f.fd, p, offset)
	}
	for n := 0; ; {
		got, errno := preadv2(f.fd, &r.vector, p[n:], offset+int64(n), unix.RWF_NOWAIT)
		if errno != 0 {
			return 0, errWouldWait
		}
		if n += got; got == 0 || n == len(p) {
			return n, nil
		}
	}
}

// preadv2 is preadv2(2) into one buffer, by a vector in the heap that the caller keeps.
func preadv2(fd int, v *unix.Iovec, p []byte, offset int64, flags uintptr) (int, unix.Errno) {
	v.Base = unsafe.SliceData(p)
	v.SetLen(len(p))
	n, _, errno := unix.Syscall6(unix.SYS_PREADV2, uintptr(fd), uintptr(unsafe.Pointer(v)), 1, uintptr(offset), 0, flags)
	v.Base = nil
	return int(n), errno
}

// outlet tells whether a socket takes more without waiting. It is the reading worker's.
type outlet struct {
	raw  syscall.RawConn // nil: the connection is no socket
	look func(fd uintptr)
	fds  [1]unix.PollFd
	free bool
}

func (o *outlet) init(nc any) {
	if sc, ok := nc.(syscall.Conn); ok {
		o.raw, _ = sc.SyscallConn()
	}
	o.look = func(fd uintptr) {
		o.fds[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
		n, err := unix.Poll(o.fds[:], 0)
		o.free = err == nil && n == 1 && o.fds[0].Revents == unix.POLLOUT
	}
}

// open reports that a few replies can be sent: a socket says so when a good part of its buffer is free (unix_writable,
// sk_stream_is_writeable). Of what is no socket nothing is known.
func (o *outlet) open() bool { return o.raw != nil && o.raw.Control(o.look) == nil && o.free }

// whole reports whether all of the next request has been read from the socket.
func (c *conn) whole() bool {
	n := c.in.Buffered()
	if n < ninep.HeaderSize {
		return false
	}
	head, _ := c.in.Peek(ninep.HeaderSize)
	return int64(binary.LittleEndian.Uint32(head)) <= int64(n)
}
