package fuse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The buffers may all be with requests that wait for something that only a request still unread will bring about: an
// INTERRUPT, a FORGET, or the connection's end. So a reader that has waited for spareDelay takes one of its connection's spare
// buffers, of which there are mostSpares and which are made when they are wanted.
const (
	spareDelay = time.Second
	mostSpares = 16
)

// reader reads requests, one at a time, and has them carried out.
type reader struct {
	loop    *deviceLoop
	request *Request // where the next request's head goes; nil while a request is carried out
	slot    Buffer   // where the rest goes; nil while there is nothing to read
	iov     [2]unix.Iovec
	n       int   // bytes read
	err     error // why nothing was
	receive func(fd uintptr) bool
}

func newReader(d *deviceLoop) *reader {
	rd := &reader{loop: d}
	rd.receive = rd.tryRead
	return rd
}

// run reads until the connection ends or the loop is stopped.
func (rd *reader) run() error {
	defer rd.dropSlot()
	for {
		err := rd.next()
		switch {
		case err == nil:
			rd.dispatch()
		case errors.Is(err, os.ErrDeadlineExceeded), rd.loop.ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENODEV):
			return nil
		case errors.Is(err, unix.ECONNABORTED):
			return ErrAborted
		default:
			return fmt.Errorf("read %s: %w", devicePath, err)
		}
	}
}

// next waits for a request and reads it. Readers take turns, so that a request is published before the next one, which may be
// its INTERRUPT, is read; while it waits for its turn a reader holds no buffer.
func (rd *reader) next() error {
	if !rd.loop.turn.TryLock() {
		rd.dropSlot()
		rd.loop.turn.Lock()
	}
	defer rd.loop.turn.Unlock()
	if rd.request == nil {
		rd.request = rd.loop.conn.request()
		setIovec(&rd.iov[0], bytesOf(rd.request.inline[:])[:headSize])
	}
	err := rd.loop.raw.Read(rd.receive)
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return cmp.Or(err, rd.err)
	}
	// The poller refuses to wait for a device in error. Why it is in error, reading tells.
	read := false
	if rd.loop.raw.Control(func(fd uintptr) { read = rd.tryRead(fd) }) != nil || !read {
		return err
	}
	return rd.err
}

// tryRead reads one request, or the reason why there will be none. It returns false to have the poller wait for one.
func (rd *reader) tryRead(fd uintptr) bool {
	if rd.slot == nil {
		if rd.err = rd.takeSlot(fd); rd.err != nil {
			return true
		}
	}
	for {
		n, errno := readv(fd, rd.iov[:])
		switch errno {
		case 0:
			rd.n = n
			rd.request.publish()
			return true
		case unix.EINTR, unix.ENOENT: // ENOENT: the request was taken back while it was copied
		case unix.EAGAIN:
			rd.dropSlot()
			return false
		default:
			rd.err = errno
			return true
		}
	}
}

// takeSlot gets the receive buffer.
func (rd *reader) takeSlot(fd uintptr) error {
	cfg := &rd.loop.conn.cfg
	slot := cfg.Buffers.TryGet(cfg.MaxWrite)
	for slot == nil {
		ctx, cancel := context.WithTimeout(rd.loop.ctx, spareDelay)
		var err error
		slot, err = cfg.Buffers.Get(ctx, cfg.MaxWrite)
		timeout := ctx.Err() == context.DeadlineExceeded
		cancel()
		switch {
		case err == nil:
		case !timeout:
			return fmt.Errorf("receive buffer: %w", err)
		default:
			slot = rd.loop.spare(fd, cfg.MaxWrite)
		}
	}
	rd.slot = slot
	setIovec(&rd.iov[1], slot.Bytes()[:cfg.MaxWrite])
	return nil
}

func (rd *reader) dropSlot() {
	if rd.slot != nil {
		rd.slot.Release()
		rd.slot = nil
		rd.iov[1] = unix.Iovec{}
	}
}

// dispatch passes on what next read.
func (rd *reader) dispatch() {
	r := rd.request
	rd.request = nil
	keep, err := r.adopt(rd.n, rd.slot.Bytes())
	if keep {
		r.buf = rd.slot
		rd.slot = nil
	}
	rd.loop.conn.dispatch(r, err)
}
