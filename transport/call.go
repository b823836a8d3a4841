package transport

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Lengths of heads that every transport relies on.
const (
	// HeadSize is what every message begins with: size[4] type[1] tag[2].
	HeadSize = 7
	// PayloadHeadSize is the head of a reply that carries a payload (Rread,
	// Rreaddir): size[4] type[1] tag[2] count[4].
	PayloadHeadSize = 11
)

// NoTag is the tag of Tversion and of nothing else (version(5): NOTAG).
const NoTag = 0xffff

// Call is one request on its way and the room for its reply.
//
// From Submit until Done.Complete(call) the Call and every byte it names are
// the transport's: the caller neither reads, writes nor reuses any of it, and a
// cancelled context changes nothing about that. A successful Withdraw gives all
// of it back early. A completed Call may be filled and submitted again.
type Call struct {
	// Tag is the message's tag, as Head has it. Tags index a table: use small
	// numbers, lowest free first. Two calls may not share a tag between
	// Submit and Complete.
	Tag uint16
	// Head is the whole T-message but its payload; its size[4] counts the
	// payload too.
	Head []byte
	// Out is the payload that follows Head on the wire (Twrite); nil for none.
	Out []byte
	// In is where the reply's payload goes (Rread, Rreaddir): its length is the
	// count that Head asks for. Nil for a reply that arrives whole in Reply.
	// Bytes of In beyond N are undefined after a completion.
	In []byte
	// Inside is how many bytes of payload travel in Head, or may come in Reply,
	// instead of in Out and In: they are charged alike.
	Inside int
	// Reply is room for the reply's head, by its capacity: PayloadHeadSize at
	// least when In is set, and never less than an error reply takes, which is
	// more than that in dialects whose errors are texts. The transport sets it
	// to the head that it received, or to the whole reply when no payload went
	// to In. An Rerror for which there is not enough room is cut to it where
	// the transport can tell; its size[4] stays what it was.
	//
	// A transport that posts memory before it knows which reply comes has the
	// payload follow right after PayloadHeadSize bytes, so that an error's text
	// runs into In: see Gather.
	Reply []byte
	// Prefix, if set, asks for the payload in a pipe behind a copy of these
	// bytes, from where it can go on to another descriptor. The transport does
	// so where that pays and where the payload fills all of In, which it needs
	// for when it cannot.
	Prefix []byte
	// Flow is whose account the call is charged to; nil: the connection's own,
	// which has no limit.
	Flow *Flow
	// Bulk says that the call is one of those that move the flow's payload, which
	// wait for its limit in bytes. The flow's other calls do not wait for them.
	Bulk bool
	// Urgent lets the call use the room kept in reserve and pass every call
	// that is not yet being sent, of its own flow too. It is for Tflush and
	// Tclunk, which free what others wait for.
	Urgent bool
	// More says that its owner submits another call at once: a transport that
	// sends several together may wait for that one, and sends them in this order
	// unless limits hold one of them back.
	More bool
	// Done is told, once, that the call is complete.
	Done Completer

	// N is set before Complete: the payload bytes placed in In, or in Pipe.
	N int
	// Pipe is set before Complete: what holds Prefix and the payload, none of
	// which is in In then; nil: it is in In. It is the caller's to release.
	Pipe *Pipe
	// Copied is set before Complete: how many of the N bytes came by way of a
	// buffer in this process.
	Copied int
	// Bounced is set before Complete: how many bytes of Out and In went by way of a
	// buffer because they lie where a device does not reach. Those of In are among
	// Copied.
	Bounced int
	// Err is set before Complete: nil when Reply holds a reply, an error reply
	// included; else why the connection died, or ErrInvalidCall, ErrForgotten or
	// ErrNoReply, of which it does not die.
	Err error

	next, prev *Call
	queue      *Queue
	account    *Flow
	charge     int64
	admitted   time.Duration // since the window's epoch
}

// Check reports what is wrong with how a call was filled, for a connection whose
// largest message is msize. The error wraps ErrInvalidCall.
func (c *Call) Check(msize uint32) error {
	switch size := uint64(len(c.Head)) + uint64(len(c.Out)); {
	case len(c.Head) < HeadSize:
		return fmt.Errorf("%w: a head of %d bytes", ErrInvalidCall, len(c.Head))
	case uint64(binary.LittleEndian.Uint32(c.Head)) != size:
		return fmt.Errorf("%w: head and payload have %d bytes, the head says %d", ErrInvalidCall, size, binary.LittleEndian.Uint32(c.Head))
	case size > uint64(msize):
		return fmt.Errorf("%w: a message of %d bytes, msize is %d", ErrInvalidCall, size, msize)
	case binary.LittleEndian.Uint16(c.Head[5:]) != c.Tag:
		return fmt.Errorf("%w: tag %d, the head says %d", ErrInvalidCall, c.Tag, binary.LittleEndian.Uint16(c.Head[5:]))
	case c.In != nil && cap(c.Reply) < PayloadHeadSize:
		return fmt.Errorf("%w: room for %d bytes of a reply's head, %d are needed", ErrInvalidCall, cap(c.Reply), PayloadHeadSize)
	}
	return nil
}

// Completer receives completed calls.
type Completer interface {
	// Complete is called exactly once for a call that was submitted and not
	// withdrawn, from any goroutine, and must not block: other calls'
	// replies wait behind it. It may run before Submit has returned, and on
	// the goroutine that submits another call: hold no lock across Submit that
	// Complete takes. It may itself call Submit, Withdraw and Close.
	Complete(*Call)
}
