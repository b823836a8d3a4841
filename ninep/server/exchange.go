package server

import (
	"fmt"
	"net"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// exchange keeps the requests of a connection that are not answered yet, and sends the answers. A tag is free from the
// moment that its reply stands in the queue, in which Rflush stands behind the reply to what it flushes.
//
// There is no goroutine to send: whoever has a reply while nobody sends does it, for all that are queued meanwhile
// too, by one writev(2) for as many as there are. Only quick replies wait for others: for those to the requests that have been
// read together with theirs.
type exchange struct {
	conn  *conn
	mu    sync.Mutex
	tags  map[uint16]*request
	alone sync.Cond // one request or none is outstanding

	queue   []*request // answered, to be sent
	bytes   int        // in queue
	sending bool
	failed  bool
	spare   []*request // the sender's
	vector  net.Buffers
	rest    net.Buffers
	pouring pour
}

func (x *exchange) init(c *conn) {
	x.conn = c
	x.tags = make(map[uint16]*request)
	x.alone.L = &x.mu
}

// add registers a request. Its tag must not be in use.
func (x *exchange) add(r *request) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.tags[r.tag] != nil {
		return fmt.Errorf("%w: %v with tag %d, which is in use", ninep.ErrMalformed, r.kind, r.tag)
	}
	x.tags[r.tag] = r
	x.conn.server.counters.begin(r)
	return nil
}

// flush makes the Tflush r be answered right after the request with the old tag. It returns false if there is none.
func (x *exchange) flush(r *request, old uint16) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	flushed := x.tags[old]
	if flushed == nil || flushed == r {
		return false
	}
	flushed.flushes = append(flushed.flushes, r)
	return true
}

// quiesce waits until the one request of the caller is the only one that is not answered.
func (x *exchange) quiesce() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(x.tags) > 1 {
		x.alone.Wait()
	}
}

// complete gives back what the request holds and sends its reply.
func (c *conn) complete(r *request) {
	c.finish(r)
	c.exchange.send()
}

// finish gives back what the request holds and queues its reply.
func (c *conn) finish(r *request) {
	if r.head == nil {
		r.fail(unix.EIO)
	}
	c.leave(r)
	x := &c.exchange
	x.mu.Lock()
	defer x.mu.Unlock()
	x.enqueue(r)
	if len(x.tags) <= 1 {
		x.alone.Broadcast()
	}
}

// sendQuick sends what is queued, unless that has to wait for the client, when it returns false, or has time until more is.
func (c *conn) sendQuick() bool {
	x := &c.exchange
	x.mu.Lock()
	bytes, sending := x.bytes, x.sending
	x.mu.Unlock()
	switch {
	case bytes == 0, sending, bytes < quickBytes && c.whole():
		return true
	case c.outlet.raw == nil: // these are another worker's, who is about to send them
		return true
	case !c.outlet.open():
		return false
	}
	x.send()
	return true
}

// send sends what is queued, unless somebody is at it.
func (x *exchange) send() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.sending {
		return
	}
	x.sending = true
	for len(x.queue) > 0 {
		x.sendQueue()
	}
	x.sending = false
}

// enqueue queues the reply and those of the flushes that wait for it, and theirs.
func (x *exchange) enqueue(r *request) {
	delete(x.tags, r.tag)
	x.conn.server.counters.end(r)
	x.queue = append(x.queue, r)
	x.bytes += len(r.head) + len(r.data) + r.piped
	for _, f := range r.flushes {
		f.answer(&ninep.Rflush{}, ninep.MinMsize)
		x.enqueue(f)
	}
}

// sendQueue sends what is queued. It gives the lock up meanwhile.
func (x *exchange) sendQueue() {
	batch := x.queue
	x.queue, x.bytes = x.spare[:0], 0
	failed := x.failed
	x.mu.Unlock()
	if !failed && x.write(batch) != nil {
		failed = true
		x.conn.net.Close()
	}
	for i, r := range batch {
		x.conn.recycle(r)
		batch[i] = nil
	}
	x.mu.Lock()
	x.spare = batch
	x.failed = failed
}

// buffersWriter is a connection without writev(2) that has a way of its own to write messages that lie in pieces, as
// those of package mtls have.
type buffersWriter interface {
	WriteBuffers(parts [][]byte) (int64, error)
}

// write sends a batch of replies, head and payload each from where they are.
func (x *exchange) write(batch []*request) error {
	x.vector = x.vector[:0]
	for _, r := range batch {
		x.vector = append(x.vector, r.head)
		if len(r.data) > 0 {
			x.vector = append(x.vector, r.data)
		}
		if r.piped == 0 {
			continue
		}
		if err := x.writeVector(); err != nil {
			return err
		}
		if err := x.pour(r); err != nil {
			return err
		}
		x.vector = x.vector[:0]
	}
	return x.writeVector()
}

// writeVector writes what is in memory.
func (x *exchange) writeVector() error {
	if len(x.vector) == 0 {
		return nil
	}
	if c, ok := x.conn.net.(buffersWriter); ok {
		_, err := c.WriteBuffers(x.vector)
		return err
	}
	x.rest = x.vector
	_, err := x.rest.WriteTo(x.conn.net)
	return err
}
