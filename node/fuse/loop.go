package fuse

import "sync/atomic"

// loop is how requests come from the kernel and how replies get there.
type loop interface {
	// serve reads requests and hands them to the connection until the connection ends, which it reports as ErrAborted or
	// nil, or until stop.
	serve() error
	// negotiated is called when INIT is answered, while serve runs.
	negotiated(flags InitFlags) error
	// missed is called for an INTERRUPT whose request is not under way: it was answered, or has not been handed out yet.
	missed(unique uint64)
	// stop makes serve return soon; replies are still sent.
	stop()
	// reply sends r's reply. After close it drops it.
	reply(r *Request)
	// splices reports whether reply takes one that is in a pipe.
	splices() bool
	// notify sends one notification.
	notify(msg []byte) error
	// close lets go of the kernel's side. It comes after serve returned.
	close() error
}

// threads counts the rings' threads in this process.
var threads atomic.Int32

// Threaded reports whether requests are read on goroutines of this process that are locked to their threads, which cannot go
// over to another goroutine's work ([iter.Pull]: the runtime ends the process). Whoever completes a call for somebody else may be
// one of those, also for a mount without a ring: mounts share sessions, and who submits a call may have others' to complete. So it
// is asked of the process, not of a mount. A goroutine that is such a thread's is always told so.
func Threaded() bool { return threads.Load() > 0 }
