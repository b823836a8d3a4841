package server

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport"
)

// The data of a long Twrite goes from the socket to the file by way of a pipe, too, and is copied once, into the page cache. All of it
// is in the pipe before the file is touched: a client that stalls holds up nothing but its own connection, and for the kernel the
// write is one, as by pwrite(2).

// inlet is the stream that requests come by. Of the one behind a long Twrite, which most often is as long, no more is read at first than
// stands before its data.
type inlet struct {
	io.Reader
	most int // of what is not asked for
}

func (i *inlet) Read(p []byte) (int, error) {
	if len(p) <= readAhead { // the buffer's, not a payload's
		p = p[:min(len(p), i.most)]
	}
	return i.Reader.Read(p)
}

// pipeable reports whether the data of a Twrite, n bytes, is to be put into a pipe.
func (c *conn) pipeable(n int) bool { return n >= spliceFrom && n <= spliceMost && c.outlet.raw != nil }

// receivePiped receives the n bytes of a Twrite's data into a pipe, or into a buffer where there is no pipe or they do not fit.
func (c *conn) receivePiped(r *request, n int) error {
	r.source = c.pipes.Get()
	if r.source != nil {
		if err := c.fill(r, n); !errors.Is(err, errPipeFull) {
			return err
		}
	}
	done := r.sourced
	if err := c.unpipe(r); err != nil {
		return err
	}
	_, err := io.ReadFull(c.in, r.payload.bytes[done:n])
	return err
}

// fill puts the next n bytes of the stream into the request's pipe.
func (c *conn) fill(r *request, n int) error {
	_, to := r.source.Ends()
	head, _ := c.in.Peek(min(n, c.in.Buffered())) // they are there
	wrote, err := unix.Write(to, head)
	if err != nil {
		return os.NewSyscallError("write", err)
	}
	_, _ = c.in.Discard(wrote)
	r.sourced = wrote
	p := &c.inflow
	if p.step == nil {
		p.step = p.move
	}
	p.to, p.left, p.err = r.source, n-wrote, nil
	if err := c.outlet.raw.Read(p.step); err != nil {
		return err
	}
	r.sourced = n - p.left
	return p.err
}

// errPipeFull says that a pipe has no room for what is to come.
var errPipeFull = errors.New("the pipe is full")

// inflow is the receiver's splice(2) from the socket to a pipe, one at a time.
type inflow struct {
	to   *transport.Pipe
	left int
	err  error
	step func(fd uintptr) bool
}

// move moves what is there; false asks the poller to wait for more.
func (p *inflow) move(fd uintptr) bool {
	_, to := p.to.Ends()
	for p.left > 0 {
		n, err := unix.Splice(int(fd), nil, to, nil, p.left, unix.SPLICE_F_NONBLOCK)
		switch {
		case err == nil && n == 0:
			p.err = io.ErrUnexpectedEOF
			return true
		case err == nil:
			p.left -= int(n)
		case errors.Is(err, unix.EINTR):
		case !errors.Is(err, unix.EAGAIN):
			p.err = os.NewSyscallError("splice", err)
			return true
		case p.to.Full():
			p.err = errPipeFull
			return true
		default:
			return false
		}
	}
	return true
}

// unpipe moves a Twrite's data from its pipe to a buffer, unless it is in one.
func (c *conn) unpipe(r *request) error {
	if r.payload != nil {
		return nil
	}
	r.payload = c.server.buffers.get(int(r.io.count))
	if r.source == nil {
		return nil
	}
	from, _ := r.source.Ends()
	for b := r.payload.bytes[:r.sourced]; len(b) > 0; {
		n, err := unix.Read(from, b)
		if err != nil {
			return os.NewSyscallError("read", err)
		}
		b, r.sourced = b[n:], r.sourced-n
	}
	r.dropSource()
	return nil
}

// takesSplice reports whether a pipe can be emptied into the file: splice(2) refuses O_APPEND.
func (f *file) takesSplice() bool {
	return f.open && f.writable && f.xattr == nil && f.typ == unix.S_IFREG && !f.appends && !f.direct.Load()
}

// writeSpliced answers Twrite whose data is in a pipe.
func (f *file) writeSpliced(r *request) error {
	user := f.attach.user
	if err := user.enterIO(); err != nil {
		return err
	}
	defer user.leaveIO()
	from, _ := r.source.Ends()
	at := int64(r.io.offset)
	n, err := unix.Splice(from, nil, f.fd, &at, r.sourced, 0)
	for errors.Is(err, unix.EINTR) { // nothing was moved
		n, err = unix.Splice(from, nil, f.fd, &at, r.sourced, 0)
	}
	if err != nil {
		return err
	}
	r.sourced -= int(n)
	r.answerWrite(int(n))
	return nil
}

// dropSource gives back the pipe that a Twrite's data is in, if it has one.
func (r *request) dropSource() {
	if r.source != nil {
		r.source.Release(r.sourced == 0)
	}
	r.source, r.sourced = nil, 0
}
