package transport

// WindowOptions bound what a connection has in flight.
type WindowOptions struct {
	// Slots is how many calls may be in flight, 1 at least.
	Slots int
	// Bytes is how many payload bytes may be in flight; 0 is no limit. A single
	// call with more goes alone.
	Bytes int64
	// Reserve is how many slots beyond Slots are kept for urgent calls.
	Reserve int
}

// Window is a connection's admission: which call may go to the peer next. It
// counts slots and payload bytes (the larger of Out, In and Inside) from Pop to Release,
// serves the flows that have calls waiting in turn, call by call, and keeps a
// reserve for urgent calls. When the call whose turn it is does not fit, all
// wait for it: small calls cannot starve a large one.
//
// A Window is for implementers of Conn. It is not safe for concurrent use, and
// the lock that guards it guards the flows of its calls.
type Window struct {
	options  WindowOptions
	used     int
	inFlight int64
	own      Flow
	urgent   Queue
	ring     flowRing
}

// NewWindow makes a Window with nothing in flight.
func NewWindow(o WindowOptions) *Window {
	o.Slots = max(o.Slots, 1)
	return &Window{options: o}
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
	first := f.waiting.Empty()
	f.waiting.Push(c)
	if first && f.room(c.charge) {
		w.ring.add(f)
	}
}

// Pop admits the next call there is room for and charges it; nil: none.
func (w *Window) Pop() *Call {
	if w.used < w.options.Slots+w.options.Reserve {
		if c := w.urgent.Pop(); c != nil {
			return w.admit(c)
		}
	}
	if w.used >= w.options.Slots {
		return nil
	}
	for f := w.ring.head; f != nil; f = w.ring.head {
		c := f.waiting.First()
		if f.room(c.charge) && !w.room(c.charge) {
			return nil
		}
		w.ring.remove(f)
		if !f.room(c.charge) {
			continue // Release puts it back: a flow without room has calls in flight
		}
		f.waiting.Pop()
		w.admit(c)
		w.requeue(f)
		return c
	}
	return nil
}

// Release ends the charge of a call that Pop returned.
func (w *Window) Release(c *Call) {
	w.used--
	w.inFlight -= c.charge
	c.account.inFlight -= c.charge
	w.requeue(c.account)
}

// Remove takes back a call that Pop has not returned yet, and reports whether c
// was such a call of this window.
func (w *Window) Remove(c *Call) bool {
	if w.urgent.Remove(c) {
		return true
	}
	f := c.account
	if f == nil || !f.waiting.Remove(c) {
		return false
	}
	w.ring.remove(f)
	w.requeue(f)
	return true
}

// admit charges c.
func (w *Window) admit(c *Call) *Call {
	w.used++
	w.inFlight += c.charge
	c.account.inFlight += c.charge
	return c
}

// requeue puts f at the ring's end if its first waiting call may go.
func (w *Window) requeue(f *Flow) {
	if c := f.waiting.First(); c != nil && f.room(c.charge) {
		w.ring.add(f)
	}
}

// room reports whether the window's bytes bear n more.
func (w *Window) room(n int64) bool {
	return w.options.Bytes <= 0 || w.inFlight == 0 || w.inFlight+n <= w.options.Bytes
}
