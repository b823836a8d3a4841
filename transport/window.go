package transport

import "time"

// WindowOptions bound what a connection has in flight.
type WindowOptions struct {
	// Slots is how many calls may be in flight, 1 at least. One flow has no more
	// than three quarters of them, so that a volume whose calls are answered late
	// or never leaves room for others.
	Slots int
	// Bytes is how many payload bytes may be in flight; 0 is no limit. A single
	// call with more goes alone.
	Bytes int64
	// Shared is how many of them at least while several flows have calls: a flow
	// that has a call in flight waits then as long as more are, so that others
	// do not wait behind all that it has to move. 0 is Bytes.
	Shared int64
	// Reserve is how many slots beyond Slots are kept for urgent calls.
	Reserve int
}

// Window is a connection's admission: which call may go to the peer next. It
// counts slots and payload bytes (the larger of Out, In and Inside) from Pop to Release,
// serves the flows that have calls waiting in turn, call by call, and keeps a
// reserve for urgent calls. When the call whose turn it is does not fit, all
// wait for it: small calls cannot starve a large one. Only what a flow's own
// limits hold back holds up nobody but its own flow's calls of the same kind,
// bulk or not.
//
// What is in flight is a queue at the peer, and each call waits for all that is
// ahead of it there. So as soon as there are several flows, all of them together
// have no more in flight than it takes to keep the peer busy: as much as leaves
// a call less than twice the time that the quickest one took, which tells how
// far away the peer is.
//
// A Window is for implementers of Conn. It is not safe for concurrent use, and
// the lock that guards it guards the flows of its calls.
type Window struct {
	options  WindowOptions
	used     int
	inFlight int64
	own      Flow
	urgent   Queue
	ring     laneRing
	most     int   // slots of one flow
	latest   *Flow // whose call with payload was pushed last
	sharing  int64 // payload bytes still to be admitted as those of one flow among others
	shared   int64 // how many may be in flight meanwhile
	epoch    time.Time
	quickest time.Duration // that a call with payload took
	learned  time.Duration // since the epoch: when that began to be found out
}

const (
	// sharingFor is how many payload bytes after another flow's call a flow still
	// counts as one of several: half a second at 2 GB/s.
	sharingFor = 1 << 30
	// quickestFor is how long what the quickest call took is gone by.
	quickestFor = 10 * time.Second
)

// NewWindow makes a Window with nothing in flight.
func NewWindow(o WindowOptions) *Window {
	o.Slots = max(o.Slots, 1)
	w := &Window{options: o, most: o.Slots - o.Slots/4, shared: o.Shared, epoch: time.Now()}
	w.own.init()
	return w
}

// Push queues a call for admission.
func (w *Window) Push(c *Call) {
	c.charge = int64(max(len(c.Out), len(c.In), c.Inside))
	c.account = c.Flow
	if c.account == nil {
		c.account = &w.own
	}
	if c.Urgent {
		w.urgent.Push(c)
		return
	}
	f := c.account
	if f != &w.own && c.charge > 0 {
		if w.latest != nil && w.latest != f {
			w.sharing = sharingFor
		}
		w.latest = f
	}
	l := f.lane(c)
	l.waiting.Push(c)
	w.requeue(l)
}

// Pop admits the next call there is room for and charges it; nil: none.
func (w *Window) Pop() *Call {
	if c := w.PopUrgent(); c != nil {
		return c
	}
	if w.used >= w.options.Slots {
		return nil
	}
	for l := w.ring.head; l != nil; {
		c, next := l.waiting.First(), l.next
		switch {
		case !w.allows(c):
			w.ring.remove(l) // Release puts it back: a flow without room has calls in flight
		case !w.room(c.charge):
			return nil
		case w.fair(l.flow, c.charge):
			w.ring.remove(l)
			l.waiting.Pop()
			w.admit(c)
			w.requeue(l)
			return c
		}
		l = next
	}
	return nil
}

// allows reports whether the limits of its own flow let c go.
func (w *Window) allows(c *Call) bool {
	f := c.account
	return f.room(c.charge) && (f.slots < w.most || f == &w.own)
}

// PopUrgent is Pop of none but urgent calls.
func (w *Window) PopUrgent() *Call {
	if w.used < w.options.Slots+w.options.Reserve {
		if c := w.urgent.Pop(); c != nil {
			return w.admit(c)
		}
	}
	return nil
}

// fair reports whether f may have n bytes more in flight for the sake of other
// flows.
func (w *Window) fair(f *Flow, n int64) bool {
	return w.sharing <= 0 || w.shared <= 0 || n == 0 || f.inFlight == 0 || w.inFlight+n <= w.shared
}

// learn takes in how long a call with payload was in flight. Now and then it
// begins anew, with as little in flight as when there was nothing to go by: what
// the quickest of calls that wait for one another takes says nothing.
func (w *Window) learn(c *Call) {
	now := time.Since(w.epoch)
	if now-w.learned > quickestFor {
		w.learned, w.quickest, w.shared = now, 0, w.options.Shared
	}
	if c.admitted < w.learned {
		return
	}
	took := now - c.admitted
	if w.quickest == 0 || took < w.quickest {
		w.quickest = took
	}
	if took < 2*w.quickest {
		w.shared = min(w.shared+c.charge, max(w.options.Bytes, w.options.Shared))
	} else {
		w.shared = max(w.shared-c.charge, w.options.Shared)
	}
}

// Release ends the charge of a call that Pop returned.
func (w *Window) Release(c *Call) {
	if c.charge > 0 && w.options.Shared > 0 {
		w.learn(c)
	}
	w.used--
	w.inFlight -= c.charge
	f := c.account
	f.inFlight -= c.charge
	f.slots--
	for i := range f.lanes {
		w.requeue(&f.lanes[i])
	}
}

// Remove takes back a call that Pop has not returned yet, and reports whether c
// was such a call of this window.
func (w *Window) Remove(c *Call) bool {
	if w.urgent.Remove(c) {
		return true
	}
	if c.account == nil {
		return false
	}
	l := c.account.lane(c)
	if !l.waiting.Remove(c) {
		return false
	}
	w.ring.remove(l)
	w.requeue(l)
	return true
}

// admit charges c.
func (w *Window) admit(c *Call) *Call {
	w.used++
	w.inFlight += c.charge
	w.sharing = max(0, w.sharing-c.charge)
	if c.charge > 0 && w.options.Shared > 0 {
		c.admitted = time.Since(w.epoch)
	}
	c.account.inFlight += c.charge
	c.account.slots++
	return c
}

// requeue puts l at the ring's end if its first call may go.
func (w *Window) requeue(l *lane) {
	if c := l.waiting.First(); c != nil && w.allows(c) {
		w.ring.add(l)
	}
}

// room reports whether the window's bytes bear n more.
func (w *Window) room(n int64) bool {
	return w.options.Bytes <= 0 || n == 0 || w.inFlight == 0 || w.inFlight+n <= w.options.Bytes
}
