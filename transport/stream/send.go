package stream

import (
	"fmt"

	"github.com/csi-9p/csi-9p/transport"
)

const (
	// batchCalls is how many calls one writev carries at most.
	batchCalls = 64
	// batchBytes ends a batch: an urgent call passes all but the batch that is
	// being written.
	batchBytes = 256 << 10
	// combineRounds is how many batches a submitter writes before the writer
	// goroutine takes over, so that Submit returns however much others submit.
	combineRounds = 4
)

// batch is what the writer is writing: calls, and those parts of their memory
// that are still to go.
type batch struct {
	calls []*transport.Call
	parts [][]byte
	store struct {
		calls [batchCalls]*transport.Call
		parts [2 * batchCalls][]byte
	}
	bytes int
}

// full reports whether another call has to wait for the next batch.
func (b *batch) full() bool { return len(b.calls) == batchCalls || b.bytes >= batchBytes }

// add appends a call.
func (b *batch) add(call *transport.Call) {
	b.calls = append(b.calls, call)
	b.parts = append(b.parts, call.Head)
	if len(call.Out) > 0 {
		b.parts = append(b.parts, call.Out)
	}
	b.bytes += len(call.Head) + len(call.Out)
}

// written takes the first n bytes off.
func (b *batch) written(n int) {
	for n > 0 && n >= len(b.parts[0]) {
		n -= len(b.parts[0])
		b.parts = b.parts[1:]
	}
	if n > 0 {
		b.parts[0] = b.parts[0][n:]
	}
}

// left reports whether there is something to write.
func (b *batch) left() bool { return len(b.parts) > 0 }

// reset empties the batch.
func (b *batch) reset() {
	clear(b.store.calls[:len(b.calls)])
	clear(b.store.parts[:min(2*len(b.calls), len(b.store.parts))])
	b.calls, b.parts, b.bytes = b.store.calls[:0], b.store.parts[:0], 0
}

// startWriting admits what fits and makes the caller the writer, with a batch
// loaded, if there is something to write and nobody else writes. Then the
// caller must call combine once it has let go of c.mu, which it holds.
func (c *Conn) startWriting() bool {
	c.admit()
	if c.writing || c.err != nil {
		return false
	}
	c.writing = c.load()
	return c.writing
}

// admit moves the calls there is room for to the queues of the writer. The
// caller holds c.mu.
func (c *Conn) admit() {
	for call := c.window.Pop(); call != nil; call = c.window.Pop() {
		c.tags.Get(call.Tag).State = ready
		if call.Urgent {
			c.urgent.Push(call)
		} else {
			c.ready.Push(call)
		}
	}
}

// load fills the batch and reports whether anything is in it. The caller holds
// c.mu and is the writer or about to be.
func (c *Conn) load() bool {
	c.batch.reset()
	for !c.batch.full() {
		call := c.urgent.Pop()
		if call == nil {
			call = c.ready.Pop()
		}
		if call == nil {
			break
		}
		c.tags.Get(call.Tag).State = writing
		if due(call) >= placeFrom {
			c.in.large.Add(1)
		}
		c.batch.add(call)
	}
	return c.batch.left()
}

// combine writes on behalf of all submitters as long as the socket takes it,
// and leaves the rest to the writer goroutine. The caller is the writer.
func (c *Conn) combine() {
	for range combineRounds {
		if !c.writeBatch(false) {
			break
		}
		if !c.nextBatch() {
			return
		}
	}
	c.handover <- struct{}{} // has room: it is the writer's alone
}

// writer is the goroutine that writes when that takes waiting.
func (c *Conn) writer() {
	for range c.handover {
		for c.writeBatch(true) && c.nextBatch() {
		}
	}
}

// writeBatch writes the batch and reports whether all of it was taken, or is
// not to be: the connection failed.
func (c *Conn) writeBatch(wait bool) bool {
	if err := c.wire.send(&c.batch, wait); err != nil {
		c.fail(fmt.Errorf("%s connection to %s: sending: %w", c.traits.Name, c.conn.RemoteAddr(), err))
		return true
	}
	return !c.batch.left()
}

// nextBatch ends the batch that was written and loads the next; false: there is
// none and the caller is the writer no more.
func (c *Conn) nextBatch() bool {
	for {
		c.mu.Lock()
		c.endBatch()
		if c.ended.Empty() {
			c.admit()
			c.writing = c.err == nil && c.load()
			more := c.writing
			if c.err != nil {
				c.batch.reset()
				c.idle.Signal()
			}
			c.mu.Unlock()
			return more
		}
		c.mu.Unlock()
		// Still the writer, so that run waits for these.
		for call := c.ended.Pop(); call != nil; call = c.ended.Pop() {
			call.Done.Complete(call)
		}
	}
}

// endBatch marks the batch's calls as sent; those that are over it puts in
// c.ended. On a dead connection it leaves all of them to run. The caller holds
// c.mu and is the writer.
func (c *Conn) endBatch() {
	if c.err != nil {
		return
	}
	for _, call := range c.batch.calls {
		e := c.tags.Get(call.Tag)
		if e.State == over {
			c.retire(e)
			c.ended.Push(call)
		} else {
			e.State = sent
		}
	}
	c.batch.reset()
}

// due is how many bytes the reply's payload may have, in In or inside Reply.
func due(call *transport.Call) int {
	return max(len(call.In), min(call.Inside, cap(call.Reply)))
}

// retire takes a call that was replied to out of the books. The caller holds
// c.mu.
func (c *Conn) retire(e *transport.Tagged[state]) {
	if due(e.Call) >= placeFrom {
		c.in.large.Add(-1)
	}
	c.window.Release(e.Call)
	c.tags.Drop(e)
}
