package ninep

import (
	"context"
	"math/rand/v2"
	"time"
)

// Time between attempts to reconnect: it doubles from the shortest to the longest, and counts from the start again
// once a connection has lived for a while, so that a server that dies of what it is asked is not hammered.
const (
	shortestBackOff = 50 * time.Millisecond
	longestBackOff  = 5 * time.Second
	livedWell       = 10 * time.Second
)

// maintain watches over the connection until the session is closed: it replaces a lost one.
func (s *Session) maintain(ctx context.Context, l *link) {
	defer close(s.done)
	var pause backOff
	for l != nil {
		connected := time.Now()
		select {
		case <-ctx.Done():
			_ = l.conn.Close() // Lost tells the end of it
		case <-l.conn.Lost():
		}
		// After it every reply that this connection brought is in the books.
		l.wait()
		s.lost(l)
		s.changed()
		if time.Since(connected) > livedWell {
			pause = 0
		}
		l = s.reconnect(ctx, &pause)
	}
	s.mu.Lock()
	parts := s.unparkAll()
	s.mu.Unlock()
	for _, p := range parts {
		p.finish(ErrClosed)
	}
}

// reconnect dials until there is a link on which every fid is bound again, and makes it the current one. nil: the
// session was closed.
func (s *Session) reconnect(ctx context.Context, pause *backOff) *link {
	for pause.wait(ctx) {
		l, err := s.reconnectOnce(ctx)
		if err == nil {
			s.connected(l)
			s.changed()
			return l
		}
		s.mu.Lock()
		s.trouble = err
		s.mu.Unlock()
		s.changed()
	}
	return nil
}

// changed tells of the status, unless the session is being closed.
func (s *Session) changed() {
	if s.config.Changed != nil && !s.isClosed() {
		s.config.Changed(s.Status())
	}
}

func (s *Session) reconnectOnce(ctx context.Context) (*link, error) {
	connecting, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	l, err := s.connect(connecting, []Dialect{s.dialect})
	if err != nil {
		return nil, err
	}
	s.features.reset(l)
	replaying, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.replay(replaying, l); err != nil {
		_ = l.conn.Close() // the error at hand says more
		l.wait()
		return nil, err
	}
	return l, nil
}

// connected makes the link the current one and sends what has waited for it.
func (s *Session) connected(l *link) {
	s.mu.Lock()
	s.current.Store(l)
	close(s.up)
	s.up = nil
	s.since = time.Now()
	s.reconnects++
	s.trouble = nil
	parts := s.unparkAll()
	s.mu.Unlock()
	for _, p := range parts {
		p.send()
	}
}

// backOff is the time that the last wait took at most.
type backOff time.Duration

// wait waits before an attempt, not at all before the first, and reports whether there should be one. Each wait takes
// between half of its time and all of it, so that the clients of a server that returns do not come all at once.
func (b *backOff) wait(ctx context.Context) bool {
	d := time.Duration(*b)
	*b = backOff(min(max(2*d, shortestBackOff), longestBackOff))
	if d > 0 {
		d = d/2 + rand.N(d/2+1)
	}
	return pause(ctx, d)
}
