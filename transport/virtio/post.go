package virtio

import (
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/virtio/vring"
)

const (
	// kickCalls is how many calls are put on the ring before the device is
	// notified of them: it begins while others are being filled.
	kickCalls = 16
	// postRounds is how often a submitter does that before the goroutine that
	// takes replies goes on, so that Submit returns however much others submit.
	postRounds = 4
)

// startPosting makes the caller the poster if nobody is. Then it must call post
// once it has let go of c.mu, which it holds.
func (c *Conn) startPosting() bool {
	if c.posting || c.err != nil {
		return false
	}
	c.posting = true
	return true
}

// post puts what is admitted on the ring. The caller is the poster.
func (c *Conn) post() {
	c.mu.Lock()
	for range postRounds {
		if !c.postSome() {
			c.stopPosting()
			return
		}
	}
	c.stopPosting()
	c.device.Wake()
}

// stopPosting ends the caller's time as the poster, and gives c.mu back.
func (c *Conn) stopPosting() {
	c.posting = false
	c.idle.Signal()
	c.mu.Unlock()
}

// postSome puts up to kickCalls calls on the ring and notifies the device. It
// reports whether there was any. The caller is the poster and holds c.mu, which
// is given back in between.
func (c *Conn) postSome() (more bool) {
	for range kickCalls {
		s := c.next()
		if s == nil {
			break
		}
		more = true
		c.mu.Unlock()
		s.fill()
		var table vring.Part
		if c.limits.indirect {
			table = vring.Part{Addr: s.table.addr, Len: uint32(vring.PutTable(s.table.bytes, s.parts))}
		}
		c.mu.Lock()
		if c.limits.indirect {
			c.heads[c.ring.AddTable(table, vring.Room(s.parts))] = s
		} else {
			c.heads[c.ring.Add(s.parts)] = s
		}
	}
	if c.ring.Kick() {
		c.mu.Unlock()
		c.device.Notify()
		c.mu.Lock()
	}
	return more
}

// next admits a call, with a slot and the chunks that it takes; nil: there is
// none or no room. A call that there is no room for is pending, and holds up
// all but urgent ones. The caller holds c.mu.
func (c *Conn) next() *slot {
	if c.err != nil {
		return nil
	}
	if s := c.pending; s != nil {
		if c.fits(s) {
			c.pending = nil
			return c.handChunks(s)
		}
		return c.nextUrgent()
	}
	call := c.window.Pop()
	if call == nil {
		return nil
	}
	s := c.seat(call)
	if !c.fits(s) {
		c.pending = s
		return c.nextUrgent()
	}
	return c.handChunks(s)
}

// nextUrgent is next while another call is pending: urgent calls take few
// descriptors, of which some are kept for them, and no chunks.
func (c *Conn) nextUrgent() *slot {
	if c.ring.Free() < urgentParts {
		return nil
	}
	call := c.window.PopUrgent()
	if call == nil {
		return nil
	}
	return c.handChunks(c.seat(call))
}

// seat gives an admitted call a slot. The caller holds c.mu.
func (c *Conn) seat(call *transport.Call) *slot {
	s := c.slots // one for each call that the window admits
	c.slots, s.next = s.next, nil
	s.plan(call, c.memory, c.limits)
	c.tags.Get(call.Tag).State.slot = s
	return s
}

// fits reports whether there are chunks and descriptors for s. The caller holds
// c.mu.
func (c *Conn) fits(s *slot) bool {
	count := s.count
	if !s.call.Urgent {
		count += c.reserve
	}
	return s.chunks <= len(c.chunks) && count <= c.ring.Free()
}

// handChunks hands out the chunks that s takes. The caller holds c.mu.
func (c *Conn) handChunks(s *slot) *slot {
	out := 0
	if n := s.bouncedOut(); n > outRoom {
		out = chunksOf(n)
	}
	left := len(c.chunks) - s.chunks
	s.outChunks = append(s.outChunks[:0], c.chunks[left:left+out]...)
	s.inChunks = append(s.inChunks[:0], c.chunks[left+out:]...)
	c.chunks = c.chunks[:left]
	return s
}

// release gives a slot and its chunks back. The caller holds c.mu.
func (c *Conn) release(s *slot) {
	c.chunks = append(append(c.chunks, s.outChunks...), s.inChunks...)
	s.outChunks, s.inChunks, s.call = s.outChunks[:0], s.inChunks[:0], nil
	c.slots, s.next = s, c.slots
}
