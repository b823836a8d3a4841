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

// connect dials and negotiates. The error is what Dial answered, or says what the peer did in place of agreeing.
func (s *Session) connect(ctx context.Context) (*link, error) {
	conn, err := s.config.Dial(ctx)
	if err != nil {
		return nil, err
	}
	msize, err := negotiate(ctx, conn, s.config.Msize)
	if err != nil {
		_ = conn.Close() // the error at hand says more
		<-conn.Lost()
		return nil, err
	}
	conn.SetMsize(msize)
	return newLink(conn, msize, s.config.ProbeAfter, &s.counters), nil
}

// negotiate proposes want, or the most that the transport takes, and returns the msize agreed upon: the server's if it
// is smaller, a larger one means nothing.
func negotiate(ctx context.Context, conn transport.Conn, want uint32) (uint32, error) {
	offer := conn.Traits().MaxMsize
	if want != 0 {
		offer = min(offer, want)
	}
	if offer < MinMsize {
		return 0, fmt.Errorf("%w: %d offered, %d needed", ErrMsizeTooSmall, offer, MinMsize)
	}
	head, err := Append(nil, NoTag, &Tversion{Msize: offer, Version: Version})
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
			return 0, fmt.Errorf("%w: no answer to Tversion: %w", ErrNotNineP, ctx.Err())
		}
	}
	if errors.Is(h.Err, transport.ErrRefused) {
		return 0, h.Err
	}
	if h.Err != nil {
		return 0, fmt.Errorf("%w: no answer to Tversion: %w", ErrNotNineP, h.Err)
	}
	return agreed(h.Reply, offer)
}

// agreed reads the answer to Tversion.
func agreed(reply []byte, offer uint32) (uint32, error) {
	_, m, err := Decode(reply)
	if err != nil {
		return 0, fmt.Errorf("%w: answer to Tversion: %w", ErrNotNineP, err)
	}
	switch m := m.(type) {
	case *Rlerror:
		return 0, fmt.Errorf("%w: Tversion refused: %w", ErrNotNineP, wireErrno(m.Errno))
	case *Rerror:
		return 0, fmt.Errorf("%w: Tversion refused: %w", ErrNotNineP, wireErrno(m.Errno))
	case *Rversion:
		if m.Version != Version {
			return 0, fmt.Errorf("%w: it answered version %q to %q", ErrNotNineP, m.Version, Version)
		}
		if m.Msize < MinMsize {
			return 0, fmt.Errorf("%w: the server answered %d, %d needed", ErrMsizeTooSmall, m.Msize, MinMsize)
		}
		return min(m.Msize, offer), nil
	}
	return 0, fmt.Errorf("%w: %v in answer to Tversion", ErrNotNineP, m.Type())
}
