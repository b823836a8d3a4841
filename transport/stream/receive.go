package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/csi-9p/csi-9p/transport"
)

// receive reads replies until the stream ends or breaks the rules.
func (c *Conn) receive() error {
	for {
		head, err := c.in.peek(transport.HeadSize)
		if err != nil {
			return readError(err)
		}
		size := binary.LittleEndian.Uint32(head)
		kind := head[4]
		tag := binary.LittleEndian.Uint16(head[5:])
		if size < transport.HeadSize || size > c.msize.Load() {
			return violation("a reply of %d bytes, msize is %d", size, c.msize.Load())
		}
		call, err := c.outstanding(tag)
		if err != nil {
			return err
		}
		if err := c.take(call, kind, int(size)); err != nil {
			return err
		}
		c.complete(call)
	}
}

// outstanding returns the call that a reply with this tag may answer, and notes
// that it is being received.
func (c *Conn) outstanding(tag uint16) (*transport.Call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.tags.Get(tag)
	if e == nil || e.State != sent && e.State != writing {
		return nil, violation("a reply to tag %d, which is not outstanding", tag)
	}
	c.receiving = e.Call
	return e.Call, nil
}

// take receives the reply that begins in the buffer into call.
func (c *Conn) take(call *transport.Call, kind uint8, size int) error {
	request := call.Head[4]
	switch {
	case kind == request+1 && call.In != nil:
		return c.takePayload(call, size)
	case kind != request+1 && kind != transport.TypeRlerror && kind != transport.TypeRerror:
		return violation("a reply of type %d to a request of type %d", kind, request)
	case size > cap(call.Reply) && kind == transport.TypeRerror:
		return c.takeCut(call, size)
	case size > cap(call.Reply):
		return violation("a reply of %d bytes and type %d, there is room for %d", size, kind, cap(call.Reply))
	}
	call.Reply = call.Reply[:size]
	_, err := c.in.read(call.Reply)
	return readError(err)
}

// takeCut receives as much of an error's text as there is room for, and drops
// the rest.
func (c *Conn) takeCut(call *transport.Call, size int) error {
	call.Reply = call.Reply[:cap(call.Reply)]
	_, err := c.in.read(call.Reply)
	var dropped [512]byte
	for left := size - len(call.Reply); err == nil && left > 0; {
		n := min(left, len(dropped))
		_, err = c.in.read(dropped[:n])
		left -= n
	}
	return readError(err)
}

// takePayload receives a reply whose payload goes to call.In.
func (c *Conn) takePayload(call *transport.Call, size int) error {
	if size < transport.PayloadHeadSize {
		return violation("a reply of %d bytes where a payload is due", size)
	}
	head, err := c.in.peek(transport.PayloadHeadSize)
	if err != nil {
		return readError(err)
	}
	count := binary.LittleEndian.Uint32(head[transport.HeadSize:])
	if uint64(count) > uint64(len(call.In)) {
		return violation("%d bytes of payload, %d were asked for", count, len(call.In))
	}
	if size != transport.PayloadHeadSize+int(count) {
		return violation("a reply of %d bytes with %d bytes of payload", size, count)
	}
	call.Reply = call.Reply[:transport.PayloadHeadSize]
	if _, err := c.in.read(call.Reply); err != nil {
		return readError(err)
	}
	if piped, err := c.splice(call, int(count)); piped || err != nil {
		return readError(err)
	}
	copied, err := c.in.read(call.In[:count])
	if !c.traits.ZeroCopy {
		copied = int(count) // the wire has read it into a buffer of its own
	}
	c.stats.copied.Add(uint64(copied))
	c.stats.placed.Add(uint64(int(count) - copied))
	call.N, call.Copied = int(count), copied
	return readError(err)
}

// complete ends a call whose reply is in. When the writer still has its
// memory, the call is the writer's to complete.
func (c *Conn) complete(call *transport.Call) {
	c.mu.Lock()
	c.receiving = nil
	e := c.tags.Get(call.Tag)
	if e.State == writing {
		e.State = over
		c.mu.Unlock()
		return
	}
	c.retire(e)
	mine := c.startWriting()
	aside := call.N >= asideFrom && c.in.large.Load() > 0
	if aside {
		c.completing++
	}
	c.mu.Unlock()
	c.pass(call, aside)
	if mine {
		c.combine()
	}
}

const (
	// asideFrom is the length of a payload from which to do something with it
	// takes longer than to have another goroutine do it.
	asideFrom = 512 << 10
	// asideCalls is how many wait for that goroutine at most.
	asideCalls = 4
)

// pass completes a call, or leaves that to finisher while it keeps up.
func (c *Conn) pass(call *transport.Call, aside bool) {
	if !aside {
		call.Done.Complete(call)
		return
	}
	select {
	case c.aside <- call:
	default:
		c.finish(call)
	}
}

// finisher completes calls while the next payload is received.
func (c *Conn) finisher() {
	for call := range c.aside {
		c.finish(call)
	}
}

// finish completes a call that is counted in c.completing.
func (c *Conn) finish(call *transport.Call) {
	call.Done.Complete(call)
	c.mu.Lock()
	c.completing--
	c.idle.Signal()
	c.mu.Unlock()
}

// violation is the error of a peer that breaks the protocol.
func violation(format string, args ...any) error {
	return fmt.Errorf("%w: %s", transport.ErrProtocol, fmt.Sprintf(format, args...))
}

// readError says what an error of the reading side means; nil stays nil.
func readError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		return fmt.Errorf("closed by the server: %w", err)
	}
	return fmt.Errorf("receiving: %w", err)
}
