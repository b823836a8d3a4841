package fuse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// deviceLoop serves a connection by reading and writing /dev/fuse.
type deviceLoop struct {
	conn *Conn
	file *os.File // a duplicate of the caller's, so that closing it ends this loop alone
	raw  syscall.RawConn
	// turn is held by the reader that waits for a request, from there until the request is published.
	turn   sync.Mutex
	spares atomic.Int32    // spare buffers that are out
	ctx    context.Context // ends with stop; for the wait for buffers
	cancel context.CancelFunc
}

func newDeviceLoop(c *Conn, dev *os.File) (*deviceLoop, error) {
	file, err := duplicate(dev)
	if err != nil {
		return nil, err
	}
	raw, err := file.SyscallConn()
	if err == nil {
		// Fails when the poller does not take the file, which then could be neither waited for nor stopped.
		err = file.SetReadDeadline(time.Time{})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("poll %s: %w", devicePath, err), file.Close())
	}
	d := &deviceLoop{conn: c, file: file, raw: raw}
	d.ctx, d.cancel = context.WithCancel(c.base)
	return d, nil
}

// serve runs the readers, which all see the end: one here, so that the many connections with a single one need no other
// goroutine.
func (d *deviceLoop) serve() error {
	var others errgroup.Group
	for range d.conn.cfg.Readers - 1 {
		others.Go(newReader(d).run)
	}
	return cmp.Or(newReader(d).run(), others.Wait())
}

// negotiated and missed have nothing to do: all requests come this one way.
func (d *deviceLoop) negotiated(InitFlags) error { return nil }
func (d *deviceLoop) missed(uint64)              {}

func (d *deviceLoop) stop() {
	d.cancel()
	_ = d.file.SetReadDeadline(time.Unix(1, 0)) // fails only when the file is closed: nothing to stop
}

func (d *deviceLoop) close() error {
	d.cancel()
	return d.file.Close()
}

// reply writes r's answer. Control keeps the descriptor from being closed and reused meanwhile, and takes no lock.
func (d *deviceLoop) reply(r *Request) {
	r.errno = unix.EBADF
	if err := d.raw.Control(r.send); err != nil {
		return
	}
	switch r.errno {
	case 0:
	case unix.ENOENT: // interrupted before it was read, or aborted: nobody waits
	case unix.ENODEV, unix.EPERM, unix.ENOTCONN: // the mount is gone
	default:
		d.conn.log.Error(r.errno, "The kernel refused the answer to a FUSE request", "opcode", r.Opcode(), "node", r.NodeID(),
			"bytes", view[OutHeader](bytesOf(r.out[:])).Len)
	}
}

func (d *deviceLoop) splices() bool { return true }

// notify writes msg. Other than a reply it may block, on pages that the kernel has locked.
func (d *deviceLoop) notify(msg []byte) error {
	var errno error
	err := d.raw.Control(func(fd uintptr) { _, errno = unix.Write(int(fd), msg) })
	if err != nil {
		return err
	}
	return errno
}
