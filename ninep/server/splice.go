package server

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// A long Rread goes from the page cache to the socket by way of a pipe (splice(2)), which is a third of the work of two copies.
// What another client writes to those pages meanwhile it may have instead of what was there: 9P promises no more.

const (
	// spliceFrom is the length of an Rread from which that pays.
	spliceFrom = 128 << 10
	// spliceCopied is the part of it that is copied, at the beginning: a client that splices as well has room in a pipe of 256 pages
	// for what it puts before the payload and for pages that TCP sends in two pieces, and one that does not finds more than a head
	// when it is woken.
	spliceCopied = 8
	// spliceMost is the longest whose other part fits in the smallest of pipes, wherever in a page it begins.
	spliceMost = 1<<20 + 64<<10
)

// spliceable reports whether an Rread of count bytes is to be spliced.
func (c *conn) spliceable(f *file, count int) bool {
	return count >= spliceFrom && count <= spliceMost && c.outlet.raw != nil && f.medium() != elsewhere && !f.direct.Load()
}

// readSpliced answers Tread with the beginning in r.payload and the rest in r.pipe.
func (c *conn) readSpliced(r *request, f *file, count int) error {
	p := c.pipes.Get()
	head := count / spliceCopied
	if p == nil {
		head = count
	}
	r.payload = c.server.buffers.get(head)
	n, err := f.pread(r, r.payload.bytes[:head], int64(r.io.offset))
	if err == nil {
		r.answerRead(r.payload.bytes[:n])
	}
	if p == nil {
		return err
	}
	r.pipe = p
	if err != nil || n < head {
		return err
	}
	_, to := p.Ends()
	at := int64(r.io.offset) + int64(n)
	for n+r.piped < count {
		moved, err := unix.Splice(f.fd, &at, to, nil, count-n-r.piped, unix.SPLICE_F_NONBLOCK)
		if moved <= 0 || err != nil {
			break // the end of the file, most often; why else, the next Tread will tell
		}
		r.piped += int(moved)
	}
	r.putReadHead(n + r.piped)
	return nil
}

// pour is the sender's splice(2) from a pipe to the socket, one at a time.
type pour struct {
	from, left int
	err        error
	step       func(fd uintptr) bool
}

// pour sends what is in a reply's pipe.
func (x *exchange) pour(r *request) error {
	p := &x.pouring
	if p.step == nil {
		p.step = p.move
	}
	from, _ := r.pipe.Ends()
	p.from, p.left, p.err = from, r.piped, nil
	if err := x.conn.outlet.raw.Write(p.step); err != nil {
		return err
	}
	r.piped = p.left // what is left in a pipe must not come before another payload
	return p.err
}

// move moves what the socket takes; false asks the poller to wait until it takes more.
func (p *pour) move(fd uintptr) bool {
	for p.left > 0 {
		n, err := unix.Splice(p.from, nil, int(fd), nil, p.left, unix.SPLICE_F_NONBLOCK)
		switch {
		case err == nil:
			p.left -= int(n)
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return false
		default:
			p.err = os.NewSyscallError("splice", err)
			return true
		}
	}
	return true
}

// dropPipe gives the request's pipe back, if it has one.
func (r *request) dropPipe() {
	if r.pipe != nil {
		r.pipe.Release(r.piped == 0)
	}
	r.pipe, r.piped = nil, 0
}
