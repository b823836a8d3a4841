package stream

import "github.com/csi-9p/csi-9p/transport"

// Forget implements transport.Conn. A call whose reply is coming in nevertheless
// completes with that reply.
func (c *Conn) Forget(tag uint16) {
	c.mu.Lock()
	e := c.table.get(tag)
	if e == nil || e.call == c.receiving || c.err != nil {
		c.mu.Unlock()
		return
	}
	call := e.call
	if e.state == writing {
		call.Err, e.state = transport.ErrForgotten, over
	}
	if e.state != sent {
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
