package fuse

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
