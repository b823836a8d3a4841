package transport

import "sync/atomic"

// Flow is the account of one volume: the payload bytes that its calls may have
// in flight. Calls beyond it wait in the flow's own queue and hold up no other
// flow. A flow is used by one connection at a time: it may move on to another
// once the first one's Lost is closed.
type Flow struct {
	limit atomic.Int64

	// The rest is guarded by the lock of the connection whose Window has it.
	inFlight   int64
	waiting    Queue
	ring       *flowRing // the ring it is in: it has calls that may go
	next, prev *Flow
}

// NewFlow makes a flow that may have limit payload bytes in flight; 0 is no
// limit. A single call larger than the limit goes alone.
func NewFlow(limit int64) *Flow {
	f := &Flow{}
	f.limit.Store(limit)
	return f
}

// SetLimit changes the limit, for calls that are not yet in flight. It is safe
// for concurrent use.
func (f *Flow) SetLimit(limit int64) { f.limit.Store(limit) }

// room reports whether the flow's account bears n bytes more.
func (f *Flow) room(n int64) bool {
	limit := f.limit.Load()
	return limit <= 0 || f.inFlight == 0 || f.inFlight+n <= limit
}

// flowRing holds the flows whose first waiting call is not held back by the
// flow's own limit, in the order in which they are served.
type flowRing struct {
	head, tail *Flow
}

// add appends f unless it is in the ring already.
func (r *flowRing) add(f *Flow) {
	if f.ring != nil {
		return
	}
	f.ring, f.prev, f.next = r, r.tail, nil
	if r.tail == nil {
		r.head = f
	} else {
		r.tail.next = f
	}
	r.tail = f
}

// remove takes f out if it is in.
func (r *flowRing) remove(f *Flow) {
	if f.ring != r {
		return
	}
	if f.prev == nil {
		r.head = f.next
	} else {
		f.prev.next = f.next
	}
	if f.next == nil {
		r.tail = f.prev
	} else {
		f.next.prev = f.prev
	}
	f.ring, f.prev, f.next = nil, nil, nil
}
