package fuse

import (
	"context"
	"errors"
)

// ErrInterrupted is the cause (context.Cause) of a request whose caller got a signal.
var ErrInterrupted = errors.New("fuse: interrupted")

// ErrEnded is the cause of a request whose connection ended or was closed under it.
var ErrEnded = errors.New("fuse: connection ended")

// Context returns a context that ends when the caller is interrupted, the connection ends or the request is answered. It is
// made on the first call, so that requests that need none do not pay for one.
func (r *Request) Context() context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx == nil {
		r.ctx, r.cancel = context.WithCancelCause(r.conn.base)
		if r.cause != nil {
			r.cancel(r.cause)
		}
	}
	return r.ctx
}

// OnInterrupt has f called once, on another goroutine, when the caller is interrupted or the connection ends. It reports
// whether f was accepted: false means that this has happened already, and f will not be called. The request still wants its
// answer, which f may give. f must not block. The request may be answered by others while f runs: see Disarm.
func (r *Request) OnInterrupt(f func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cause != nil {
		return false
	}
	r.onInter = f
	return true
}

// Disarm takes OnInterrupt's f back. It reports whether f is certain not to be called; false means that f has been called or is
// just being called. Answering the request disarms it too, but does not tell.
func (r *Request) Disarm() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onInter = nil
	return r.cause == nil
}

// interrupt tells the request's owner to give up, if it is still the one with this unique.
func (r *Request) interrupt(unique uint64, cause error) {
	r.mu.Lock()
	if r.unique.Load() != unique || r.cause != nil {
		r.mu.Unlock()
		return
	}
	r.cause = cause
	cancel, f := r.cancel, r.onInter
	r.onInter = nil
	r.mu.Unlock()
	if cancel != nil {
		cancel(cause)
	}
	if f != nil {
		f()
	}
}
