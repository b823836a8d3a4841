package ninep

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/csi-9p/csi-9p/transport"
)

var (
	// errUnsent is the outcome of a message that the server never saw.
	errUnsent = errors.New("cancelled before it was sent")
	// errForgotten is the outcome of a message that was flushed and not answered: by the protocol it did not
	// happen, but servers that were too late to stop it are known.
	errForgotten = errors.New("flushed")
)

// linkError is the outcome of a message whose connection died: it happened or not, unless it is known to be unsent.
type linkError struct {
	reason error
	unsent bool
}

// The reason is not unwrapped: a number in it is the local system's and answers nothing.
func (e *linkError) Error() string { return "connection lost: " + e.reason.Error() }

// isLost reports whether the error is that of a message whose connection died.
func isLost(err error) bool {
	if err == nil {
		return false // what errors.As needs is on the heap
	}
	var lost *linkError
	return errors.As(err, &lost)
}

// call is one message on its way over one link, and the room for its reply. What embeds it is its receiver.
type call struct {
	transport.Call
	link     *link
	receiver receiver
	volume   *volume // whose payload it carries; nil: it carries none
	buffer   *buffer // what a message with its payload inside lies in; nil: in none

	unsent  bool          // the connection was dead before the call was sent
	started time.Duration // since the counters' epoch

	// canceled keeps a call that cancel met too early from being sent. It is guarded by link.mu.
	canceled bool
}

// receiver is told, once, that its call has a reply or failed, on a goroutine that it must not block.
type receiver interface{ received() }

// Complete implements [transport.Completer].
func (c *call) Complete(*transport.Call) {
	c.link.counters.count(c)
	c.link.release(c)
	c.receiver.received()
}

// prepare makes a call ready to be submitted to a link.
func (c *call) prepare(l *link) {
	c.link, c.Done, c.More, c.N, c.Pipe, c.Copied, c.Bounced, c.Err, c.unsent = l, c, false, 0, nil, 0, 0, nil, false
	c.started = l.counters.now()
}

// isConnError tells the death of a connection from what befell one call only.
func isConnError(err error) bool {
	return !errors.Is(err, transport.ErrForgotten) && !errors.Is(err, transport.ErrNoReply) &&
		!errors.Is(err, transport.ErrInvalidCall) && !errors.Is(err, errUnsent)
}

// isUnanswered reports whether the error is that of a message that the server had and gave no answer to: it happened or not.
func isUnanswered(err error) bool {
	return errors.Is(err, errForgotten) || errors.Is(err, transport.ErrNoReply)
}

// answer returns the body of the reply, or why there is none: a number that the server answered, a [linkError],
// errForgotten, [transport.ErrNoReply], errUnsent, or what is wrong with the reply, which ends the link.
func (c *call) answer() ([]byte, error) {
	switch {
	case c.Err == nil:
	case errors.Is(c.Err, transport.ErrForgotten):
		return nil, errForgotten
	case isConnError(c.Err):
		return nil, &linkError{c.Err, c.unsent}
	default:
		return nil, c.Err
	}
	h, err := ParseHeader(c.Reply)
	if err != nil {
		return nil, c.malformed("%w", err)
	}
	body := c.Reply[HeaderSize:]
	switch asked := MsgType(c.Head[4]); {
	case h.Type == asked+1:
		return body, nil
	case h.Type != TypeRlerror && h.Type != TypeRerror:
		return nil, c.malformed("%w: %v in answer to %v", ErrMalformed, h.Type, asked)
	}
	err, ok := c.link.dialect.refusal(h.Type, body, int64(h.Size) > int64(len(c.Reply)))
	if !ok {
		return nil, c.malformed("%w: %v of %d bytes", ErrMalformed, h.Type, h.Size)
	}
	return nil, err
}

// malformed ends the link because of its reply.
func (c *call) malformed(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	c.link.fail(err)
	return err
}

// payload checks an Rread or Rreaddir and returns how many bytes of data came. They are in c.In, no byte of which
// means anything before that, or are copied from the reply to the beginning of data.
func (c *call) payload(data []byte) (int, error) {
	body, err := c.answer()
	if err != nil {
		return 0, err
	}
	if c.In == nil {
		return c.unpack(body, data)
	}
	size := binary.LittleEndian.Uint32(c.Reply)
	if len(body) != 4 || c.N > len(c.In) ||
		int64(binary.LittleEndian.Uint32(body)) != int64(c.N) || int64(size) != int64(ReadHeadSize+c.N) {
		return 0, c.malformed("%w: %v with %d bytes of data, %d asked", ErrMalformed, MsgType(c.Reply[4]), c.N, len(c.In))
	}
	return c.N, nil
}
