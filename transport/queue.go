package transport

// Queue is a first-in first-out queue of calls, threaded through the calls
// themselves so that queueing allocates nothing. A call is in one queue at a
// time. The zero Queue is empty. A Queue must not be copied once it was used and is
// not safe for concurrent use.
type Queue struct {
	head, tail *Call
}

// Empty reports whether no call is queued.
func (q *Queue) Empty() bool { return q.head == nil }

// First returns the call that Pop would return and leaves it queued; nil if the
// queue is empty.
func (q *Queue) First() *Call { return q.head }

// Push appends c, which must be in no queue.
func (q *Queue) Push(c *Call) {
	c.queue, c.prev, c.next = q, q.tail, nil
	if q.tail == nil {
		q.head = c
	} else {
		q.tail.next = c
	}
	q.tail = c
}

// Pop takes the first call out; nil if the queue is empty.
func (q *Queue) Pop() *Call {
	c := q.head
	if c != nil {
		q.Remove(c)
	}
	return c
}

// Remove takes c out, wherever in the queue it is, and reports whether it was
// in this queue.
func (q *Queue) Remove(c *Call) bool {
	if c.queue != q {
		return false
	}
	if c.prev == nil {
		q.head = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		q.tail = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.queue, c.prev, c.next = nil, nil, nil
	return true
}
