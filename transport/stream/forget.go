package stream

import "github.com/csi-9p/csi-9p/transport"

// Forget implements transport.Conn. A call whose reply is coming in nevertheless
// completes with that reply.
func (c *Conn) Forget(tag uint16) {
	c.mu.Lock()
	e := c.tags.Get(tag)
	if e == nil || e.Call == c.receiving || c.err != nil {
		c.mu.Unlock()
		return
	}
	call := e.Call
	if e.State == writing {
		call.Err, e.State = transport.ErrForgotten, over
	}
	if e.State != sent {
		c.mu.Unlock()
		return
	}
	call.Err = transport.ErrForgotten
	c.retire(e)
	mine := c.startWriting()
	c.completing++
	c.mu.Unlock()

	c.finish(call)
	if mine {
		c.combine()
	}
}
