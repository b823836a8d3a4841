package transport

import "sync/atomic"

// Flow is the account of one volume: the payload bytes and the slots that its
// calls may have in flight. Calls beyond it wait in the flow's own queues and
// hold up no other flow. A flow is used by one connection at a time: it may move
// on to another once the first one's Lost is closed.
type Flow struct {
	limit atomic.Int64

	// The rest is guarded by the lock of the connection whose Window has it.
	inFlight int64 // payload bytes
	slots    int   // calls in flight
	lanes    [2]lane
}

// lane is the queue of those calls of a flow that wait for one another: bulk
// calls, or the others.
type lane struct {
	flow       *Flow
	waiting    Queue
	ring       *laneRing // the ring it is in: its first call may go
	next, prev *lane
}

// NewFlow makes a flow that may have limit payload bytes in flight; 0 is no
// limit. A single call larger than the limit goes alone.
func NewFlow(limit int64) *Flow {
	f := &Flow{}
	f.init()
	f.limit.Store(limit)
	return f
}

func (f *Flow) init() {
	for i := range f.lanes {
		f.lanes[i].flow = f
	}
}

// SetLimit changes the limit, for calls that are not yet in flight. It is safe
// for concurrent use.
func (f *Flow) SetLimit(limit int64) { f.limit.Store(limit) }

// lane is the one that c waits in.
func (f *Flow) lane(c *Call) *lane {
	if c.Bulk {
		return &f.lanes[1]
	}
	return &f.lanes[0]
}

// room reports whether the flow's account bears n bytes more.
func (f *Flow) room(n int64) bool {
	limit := f.limit.Load()
	return limit <= 0 || n == 0 || f.inFlight == 0 || f.inFlight+n <= limit
}

// laneRing holds the lanes whose first call is not held back by its flow's own
// limits, in the order in which they are served.
type laneRing struct {
	head, tail *lane
}

// add appends l unless it is in the ring already.
func (r *laneRing) add(l *lane) {
	if l.ring != nil {
		return
	}
	l.ring, l.prev, l.next = r, r.tail, nil
	if r.tail == nil {
		r.head = l
	} else {
		r.tail.next = l
	}
	r.tail = l
}

// remove takes l out if it is in.
func (r *laneRing) remove(l *lane) {
	if l.ring != r {
		return
	}
	if l.prev == nil {
		r.head = l.next
	} else {
		l.prev.next = l.next
	}
	if l.next == nil {
		r.tail = l.prev
	} else {
		l.next.prev = l.prev
	}
	l.ring, l.prev, l.next = nil, nil, nil
}
