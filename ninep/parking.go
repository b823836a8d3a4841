package ninep

import (
	"context"
	"time"
)

// parking is where a part waits for the server to come back.
type parking struct {
	part  *part
	timer *time.Timer // ends the wait; nil: it is for ever
}

// park keeps the part until there is a link again, for as long as its IO wants to wait.
func (s *Session) park(p *part) {
	io := p.io
	s.mu.Lock()
	switch {
	case s.isClosed():
		s.mu.Unlock()
		p.finish(ErrClosed)
		return
	case s.up == nil:
		s.mu.Unlock()
		p.send()
		return
	}
	at, bounded := s.deadlineOf(io.LostTimeout)
	wait := time.Until(at)
	if bounded && wait <= 0 {
		err := s.whyLost()
		s.mu.Unlock()
		p.finish(err)
		return
	}
	k := &parking{part: p}
	io.mu.Lock()
	canceled := io.canceled
	p.parked = k
	io.mu.Unlock()
	if canceled {
		s.mu.Unlock()
		p.finish(context.Canceled)
		return
	}
	if bounded {
		k.timer = time.AfterFunc(wait, func() { s.expire(k) })
	}
	s.parked[k] = struct{}{}
	s.mu.Unlock()
}

// lostTimeout is how long a call with a time-out of its own, unless it is 0, waits for a lost server.
func (s *Session) lostTimeout(own time.Duration) time.Duration {
	if own != 0 {
		return own
	}
	return s.config.ReconnectTimeout
}

// returnTime is what a server that was silent has to come back in once its connection is lost: it may have been started
// again because it hung.
const returnTime = 5 * time.Second

// deadlineOf is when a call with a time-out of its own, unless it is 0, stops waiting for the lost server, if ever. The
// caller holds s.mu.
func (s *Session) deadlineOf(own time.Duration) (at time.Time, bounded bool) {
	at, bounded = s.deadline(s.lostTimeout(own))
	if own == 0 {
		return at, bounded
	}
	return at.Add(-min(s.silence, max(0, own-returnTime))), bounded
}

type lostTimeoutKey struct{}

// WithLostTimeout returns a context whose calls wait as long for a lost server as an IO with that [IO.LostTimeout] does.
func WithLostTimeout(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, lostTimeoutKey{}, d)
}

// lostTimeoutOf is a context's own time-out; 0: it has none.
func lostTimeoutOf(ctx context.Context) time.Duration {
	d, _ := ctx.Value(lostTimeoutKey{}).(time.Duration)
	return d
}

// expire ends the wait of a part whose time is over.
func (s *Session) expire(k *parking) {
	err := s.lostError() // before the server can have come back
	if s.unpark(k) {
		k.part.finish(err)
	}
}

// unparkAll takes all parts back. The caller holds s.mu, and sends or finishes them without it.
func (s *Session) unparkAll() []*part {
	var parts []*part
	for k := range s.parked {
		if s.take(k) {
			parts = append(parts, k.part)
		}
	}
	return parts
}

// unpark takes a part back that is parked there, and reports whether it still was.
func (s *Session) unpark(k *parking) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.take(k)
}

// take is unpark for one who holds s.mu.
func (s *Session) take(k *parking) bool {
	if _, ok := s.parked[k]; !ok {
		return false
	}
	delete(s.parked, k)
	if k.timer != nil {
		k.timer.Stop()
	}
	return true
}
