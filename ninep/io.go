package ninep

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/csi-9p/csi-9p/transport"
)

// maxParts is how many messages of one IO are in flight together: enough that a 1 MiB request in messages of 64 KiB
// costs one round trip.
const maxParts = 32

// IO is an asynchronous read or write of any length. It is the caller's, who may embed it and use it again after Done;
// starting one allocates nothing. The exported fields are not to be touched between the start and Done.
type IO struct {
	Buf    []byte    // lent to the transport until Done
	Offset int64     // where in the file it begins, in bytes
	Done   func(*IO) // called once, from any goroutine, also the starter's; must not block
	// Prefix and Pipe are those of [transport.Call], for a read of one message: when Pipe is set, all that was asked for is in it
	// instead of Buf, and whoever Done tells releases it.
	Prefix []byte
	Pipe   *transport.Pipe
	// End is where the file ends, in bytes, if the caller knows: a read that stops short there has come to the end and asks no more.
	// 0: it is not known.
	End int64
	// LostTimeout is as Config.ReconnectTimeout, for this IO; 0: the session's. A server's silence that led to the loss counts, but
	// for 5 s that a server which was started again has to come back in.
	LostTimeout time.Duration
	Owner       any // the caller's

	N   int   // set before Done: bytes done, from the first on without a gap
	Err error // set before Done: why N is less than asked; nil at a read's end of file

	fid   *Fid
	write bool

	mu       sync.Mutex
	next     int   // first byte of Buf that no part has taken on
	stop     int   // first byte known not to be done
	cause    error // why stop is not the end of Buf
	running  int   // parts under way, and calls of this IO's own that must not outlive it
	parts    *part // all of them, until Done
	canceled bool
}

// errNoProgress is the outcome of a Twrite of which the server took nothing.
var errNoProgress = fmt.Errorf("%w: no byte of a write taken", ErrMalformed)

// StartRead reads len(io.Buf) bytes and calls io.Done. It goes on after short answers until all are there or the
// server says that there are no more: less than asked is the end of the file.
func (f *Fid) StartRead(io *IO) { f.start(io, false) }

// StartWrite writes all of io.Buf and calls io.Done.
func (f *Fid) StartWrite(io *IO) { f.start(io, true) }

func (f *Fid) start(io *IO, write bool) {
	io.N, io.Pipe, io.Err = 0, nil, nil
	io.fid, io.write = f, write
	if err := f.pin(); err != nil {
		io.Err = io.fail(err)
		io.Done(io)
		return
	}
	io.mu.Lock()
	io.next, io.stop, io.cause, io.canceled = 0, len(io.Buf), nil, false
	io.running = 1 // this function
	io.mu.Unlock()
	for io.addPart() {
	}
	io.leave()
}

// addPart starts one more part and reports whether another is needed.
func (io *IO) addPart() bool {
	io.mu.Lock()
	if io.next >= io.stop || io.canceled || io.running > maxParts {
		io.mu.Unlock()
		return false
	}
	p := parts.Get().(*part)
	p.io, p.canceled, p.patience = io, false, patience{}
	p.nextPart, io.parts = io.parts, p
	io.running++
	p.take()
	io.mu.Unlock()
	p.send()
	return true
}

// cut records that the IO ends at this byte of Buf, for this reason.
func (io *IO) cut(pos int, cause error) {
	io.mu.Lock()
	if pos < io.stop {
		io.stop, io.cause = pos, cause
	}
	io.mu.Unlock()
}

// leave ends a part or another piece of work on the IO; the last one to leave completes it.
func (io *IO) leave() {
	io.mu.Lock()
	io.running--
	last := io.running == 0
	if last && io.canceled && io.next < io.stop {
		io.stop, io.cause = io.next, context.Canceled
	}
	io.mu.Unlock()
	if !last {
		return
	}
	for p := io.parts; p != nil; {
		next := p.nextPart
		p.recycle()
		p = next
	}
	io.parts = nil
	io.N, io.Err = io.stop, io.fail(io.cause)
	f := io.fid
	io.fid = nil
	f.unpin()
	io.Done(io)
}

// fail makes the IO's error.
func (io *IO) fail(err error) error {
	if err == nil {
		return nil
	}
	op := "read"
	if io.write {
		op = "write"
	}
	return io.fid.fail(op, err)
}

// Cancel asks for an early end, and may be called at any time from the start to Done. Done is called when the server
// has let go of the buffer: it answered, or confirmed Tflush. What was done until then is in N.
func (io *IO) Cancel() {
	io.mu.Lock()
	if io.running == 0 || io.canceled {
		io.mu.Unlock()
		return
	}
	io.canceled = true
	io.running++
	first := io.parts
	io.mu.Unlock()
	for p := first; p != nil; p = p.nextPart {
		p.cancel()
	}
	io.leave()
}

// waitedIO is an IO whose starter waits for it.
type waitedIO struct {
	IO
	done chan struct{}
}

var waitedIOs = sync.Pool{New: func() any {
	w := &waitedIO{done: make(chan struct{}, 1)}
	w.Owner = w
	w.Done = func(io *IO) { io.Owner.(*waitedIO).done <- struct{}{} }
	return w
}}

// Read reads len(p) bytes at off. Less without an error is the end of the file. p is lent to the transport: a cancelled
// call returns when the server has let go of it.
func (f *Fid) Read(ctx context.Context, p []byte, off int64) (int, error) {
	return f.transfer(ctx, p, off, false)
}

// Write writes all of p at off. With an error, the first n bytes were written. p is lent to the transport: a cancelled
// call returns when the server has let go of it.
func (f *Fid) Write(ctx context.Context, p []byte, off int64) (int, error) {
	return f.transfer(ctx, p, off, true)
}

func (f *Fid) transfer(ctx context.Context, p []byte, off int64, write bool) (n int, err error) {
	Block(ctx)
	w := waitedIOs.Get().(*waitedIO)
	w.Buf, w.Offset = p, off
	f.start(&w.IO, write)
	select {
	case <-w.done:
	case <-ctx.Done():
		w.Cancel()
		<-w.done
	}
	n, err = w.N, w.Err
	w.Buf, w.Err = nil, nil
	waitedIOs.Put(w)
	if err != nil {
		err = cancelledBy(ctx, err)
	}
	return n, err
}

// cancelledBy gives the error of an IO that was canceled for a context that context's reason.
func cancelledBy(ctx context.Context, err error) error {
	var e *Error
	if errors.As(err, &e) && errors.Is(e.Cause, context.Canceled) {
		e.Cause = ctx.Err()
	}
	return err
}
