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
