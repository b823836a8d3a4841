package ninep

import (
	"context"
	"errors"
	"fmt"

	"github.com/csi-9p/csi-9p/transport"
)

// hello is a Tversion on its way. It has no tag of its own and is alone on the connection.
type hello struct {
	transport.Call
	done chan struct{}
}

// Complete implements [transport.Completer].
func (h *hello) Complete(*transport.Call) { close(h.done) }

// agreement is what the two ends have agreed on.
type agreement struct {
	msize   uint32
	dialect Dialect
}

// connect dials and negotiates. The error is what Dial answered, or says what the peer did in place of agreeing.
func (s *Session) connect(ctx context.Context, wanted []Dialect) (*link, error) {
	conn, err := s.config.Dial(ctx)
	if err != nil {
		return nil, err
	}
	a, err := negotiate(ctx, conn, s.config.Msize, wanted)
	if err != nil {
		_ = conn.Close() // the error at hand says more
		<-conn.Lost()
		return nil, err
	}
	conn.SetMsize(a.msize)
	return newLink(conn, a, s.config.ProbeAfter, &s.counters), nil
}

// negotiate proposes msize, or the most that the transport takes, in the dialects wanted, one after the other until the server
// agrees to one by its very name: who answers 9P2000 to 9P2000.L may speak 9P2000.u too (version(5)).
func negotiate(ctx context.Context, conn transport.Conn, msize uint32, wanted []Dialect) (agreement, error) {
	offer := conn.Traits().MaxMsize
	if msize != 0 {
		offer = min(offer, msize)
	}
	if offer < MinMsize {
		return agreement{}, fmt.Errorf("%w: %d offered, %d needed", ErrMsizeTooSmall, offer, MinMsize)
	}
	var err error
	for _, d := range wanted {
		var agreed uint32
		if agreed, err = greet(ctx, conn, offer, d); err == nil {
			return agreement{agreed, d}, nil
		}
		if conn.Err() != nil {
			break
		}
	}
	return agreement{}, err
}

// greet proposes a dialect and a msize, and returns the msize agreed upon.
func greet(ctx context.Context, conn transport.Conn, offer uint32, d Dialect) (uint32, error) {
	head, err := Append(nil, NoTag, &Tversion{Msize: offer, Version: d.String()})
	if err != nil {
		return 0, err
	}
	h := &hello{done: make(chan struct{})}
	h.Call = transport.Call{Tag: NoTag, Head: head, Reply: make([]byte, replyRoom), Urgent: true, Done: h}
	conn.Submit(&h.Call)
	select {
	case <-h.done:
	case <-ctx.Done():
		_ = conn.Close()
		<-h.done
		if errors.Is(h.Err, transport.ErrClosed) {
			return 0, fmt.Errorf("%w: no answer to Tversion %q: %w", ErrNotNineP, d, ctx.Err())
		}
	}
	if errors.Is(h.Err, transport.ErrRefused) {
		return 0, h.Err
	}
	if h.Err != nil {
		return 0, fmt.Errorf("%w: no answer to Tversion %q: %w", ErrNotNineP, d, h.Err)
	}
	return agreed(h.Reply, offer, d)
}

// agreed reads the answer to Tversion: the server's msize if it is smaller, a larger one means nothing.
func agreed(reply []byte, offer uint32, d Dialect) (uint32, error) {
	h, err := ParseHeader(reply)
	if err != nil {
		return 0, fmt.Errorf("%w: answer to Tversion: %w", ErrNotNineP, err)
	}
	if h.Type == TypeRlerror || h.Type == TypeRerror {
		return 0, fmt.Errorf("%w: Tversion %q refused: %w", ErrDialect, d, anyRefusal(h.Type, reply[HeaderSize:]))
	}
	_, m, err := Decode(reply)
	if err != nil {
		return 0, fmt.Errorf("%w: answer to Tversion: %w", ErrNotNineP, err)
	}
	answer, ok := m.(*Rversion)
	switch {
	case !ok:
		return 0, fmt.Errorf("%w: %v in answer to Tversion", ErrNotNineP, m.Type())
	case answer.Version != d.String():
		return 0, fmt.Errorf("%w: it answered version %q to %q", ErrDialect, answer.Version, d)
	case answer.Msize < MinMsize:
		return 0, fmt.Errorf("%w: the server answered %d, %d needed", ErrMsizeTooSmall, answer.Msize, MinMsize)
	}
	return min(answer.Msize, offer), nil
}
