package transport

import (
	"encoding/binary"
	"fmt"
)

// Types of error replies, which answer any request. Rerror comes with a bare
// number on 9P2000.L sessions of some servers (nfs-ganesha), with a text on
// 9P2000.u and 9P2000.
const (
	TypeRlerror = 7
	TypeRerror  = 107
)

// Tail is how many bytes a transport that posts memory ahead has to post behind
// In, so that the longest error reply has room in PayloadHeadSize bytes of head,
// In and these together. It is 0 for all but short payloads.
func (c *Call) Tail() int {
	return max(0, cap(c.Reply)-PayloadHeadSize-len(c.In))
}

// Gather completes the fields of a call whose reply the peer has written to
// memory that was posted ahead: n bytes in all, the first into head, the next
// into In, the last into tail. head has PayloadHeadSize bytes and tail Tail()
// when In is set; else head has the room of Reply and tail is nil. They must not
// be the peer's to write any more: what a device can still change is to be
// copied first.
//
// A payload stays where it is, counted in N and checked against what was asked
// for. An error reply is put together in Reply, and what it has left in In is
// cleared, so that no byte of it passes for data. The error wraps ErrProtocol
// and is the end of the connection.
func (c *Call) Gather(n int, head, tail []byte) error {
	if n < HeadSize || n > len(head)+len(c.In)+len(tail) {
		return fmt.Errorf("%w: a reply of %d bytes in room for %d", ErrProtocol, n, len(head)+len(c.In)+len(tail))
	}
	size := binary.LittleEndian.Uint32(head)
	kind, tag := head[4], binary.LittleEndian.Uint16(head[5:])
	failed := kind == TypeRlerror || kind == TypeRerror
	switch {
	case tag != c.Tag:
		return fmt.Errorf("%w: a reply to tag %d in place of %d", ErrProtocol, tag, c.Tag)
	case !failed && kind != c.Head[4]+1:
		return fmt.Errorf("%w: a reply of type %d to a request of type %d", ErrProtocol, kind, c.Head[4])
	case size < HeadSize || uint64(size) > uint64(n):
		return fmt.Errorf("%w: a reply of %d bytes, of which %d were written", ErrProtocol, size, n)
	case failed || c.In == nil:
		return c.gatherWhole(int(size), n, head, tail)
	case size < PayloadHeadSize:
		return fmt.Errorf("%w: a reply of %d bytes where a payload is due", ErrProtocol, size)
	}
	count := binary.LittleEndian.Uint32(head[HeadSize:])
	if uint64(count) > uint64(len(c.In)) || uint64(size) != PayloadHeadSize+uint64(count) {
		return fmt.Errorf("%w: a reply of %d bytes with %d bytes of payload, %d were asked for", ErrProtocol, size, count, len(c.In))
	}
	c.Reply = append(c.Reply[:0], head[:PayloadHeadSize]...)
	c.N = int(count)
	return nil
}

// gatherWhole puts a reply without payload together, whose size says how much of
// the n bytes it is.
func (c *Call) gatherWhole(size, n int, head, tail []byte) error {
	if size > cap(c.Reply) {
		return fmt.Errorf("%w: a reply of %d bytes, there is room for %d", ErrProtocol, size, cap(c.Reply))
	}
	spilled := c.In[:min(len(c.In), max(0, n-len(head)))]
	reply := c.Reply[:0]
	for _, part := range [][]byte{head, spilled, tail} {
		reply = append(reply, part[:min(len(part), size-len(reply))]...)
	}
	clear(spilled)
	c.Reply = reply
	return nil
}
