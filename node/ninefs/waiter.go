package ninefs

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/csi-9p/csi-9p/node/fuse"
)

// waiter is a request that waits for the server without a goroutine. It is started on the goroutine that read the request and
// answered on the one that the server's reply came in on. Who embeds it is used again, unless an interrupt may still be
// looking at it.
type waiter struct {
	r      *fuse.Request
	giveUp func() // answers a caller whose server does not, if nobody else has; bound once

	interrupted func() // w.interrupt, bound once
	users       atomic.Int32
	spent       atomic.Bool // an interrupt may still be looking at it: not to be used again

	mu   sync.Mutex
	live bool // r is not answered yet
}

// init is called once, with the method that gives up.
func (w *waiter) init(giveUp func()) { w.giveUp, w.interrupted = giveUp, w.interrupt }

// begin takes a request. It has two users: who starts it and who ends it.
func (w *waiter) begin(r *fuse.Request) {
	w.r, w.live = r, true
	w.users.Store(2)
}

// started is called when the request is under way: from now on an interrupt of the caller reaches it.
func (w *waiter) started() {
	w.mu.Lock()
	early := w.live && !w.r.OnInterrupt(w.interrupted)
	w.mu.Unlock()
	if early {
		w.interrupt()
	}
}

func (w *waiter) interrupt() {
	w.spent.Store(true)
	time.AfterFunc(grace, w.giveUp)
}

// ended is called by who has an answer. It reports whether the request still wants one, which from now on no interrupt reaches.
func (w *waiter) ended() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.live {
		return false
	}
	w.live = false
	if !w.r.Disarm() {
		w.spent.Store(true)
	}
	return true
}

// unused takes a user away and reports whether it was the last and the waiter can be used again.
func (w *waiter) unused() bool { return w.users.Add(-1) == 0 && !w.spent.Load() }
