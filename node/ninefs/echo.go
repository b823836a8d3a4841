package ninefs

import (
	"sync"
	"time"

	"github.com/csi-9p/csi-9p/node/fuse"
)

// echo is the answer to the last LOOKUP, where nothing is cached. stat(2) is a LOOKUP then and at once a GETATTR of what that
// found: for both of one system call the server is asked once.
type echo struct {
	mu     sync.Mutex
	unique uint64 // of the LOOKUP
	pid    uint32
	node   uint64
	at     time.Time
	attr   fuse.Attr
}

const (
	// echoTime is how soon after the LOOKUP's answer the GETATTR of the same system call is there.
	echoTime = time.Millisecond
	// uniqueStep is from one request's number to the next's on a connection (FUSE_REQ_ID_STEP of fs/fuse/fuse_i.h).
	uniqueStep = 2
)

// told notes what a LOOKUP is answered with.
func (e *echo) told(r *fuse.Request, out *fuse.EntryOut) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unique, e.pid, e.node, e.attr = r.Unique(), r.PID(), out.NodeID, out.Attr
	e.at = time.Now()
}

// answer answers a GETATTR of the thread whose LOOKUP was the request before it on this mount, and found its node. So there
// was no time for the thread to do anything else to the file, nor for anyone else to tell it of a change.
func (e *echo) answer(r *fuse.Request) bool {
	e.mu.Lock()
	mine := r.Unique() == e.unique+uniqueStep && r.NodeID() == e.node && r.PID() == e.pid && e.pid != 0 && time.Since(e.at) < echoTime
	out := fuse.AttrOut{Attr: e.attr}
	e.mu.Unlock()
	if mine {
		r.ReplyAttr(&out)
	}
	return mine
}
