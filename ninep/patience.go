package ninep

import (
	"context"
	"time"
)

// SetReconnectTimeout changes [Config.ReconnectTimeout] for calls that begin to wait from now on.
func (s *Session) SetReconnectTimeout(d time.Duration) { s.reconnectTimeout.Store(int64(d)) }

// lostTimeout is how long a call with a time-out of its own, unless it is 0, waits for a lost server.
func (s *Session) lostTimeout(own time.Duration) time.Duration {
	if own != 0 {
		return own
	}
	return time.Duration(s.reconnectTimeout.Load())
}

// returnTime is what a server that was silent has to come back in once its connection is lost: it may have been started
// again because it hung.
const returnTime = 5 * time.Second

// deadlineOf is when a call with a time-out of its own, unless it is 0, stops waiting for the lost server, if ever. The
// caller holds s.mu.
func (s *Session) deadlineOf(own time.Duration) (at time.Time, bounded bool) {
	timeout := s.lostTimeout(own)
	at = s.since.Add(max(timeout, 0))
	if own != 0 {
		at = at.Add(-min(s.silence, max(0, own-returnTime)))
	}
	return at, timeout != 0
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

// patience is how long a call has been losing its connection: one that kills every server it reaches ends as if the
// server had been away all the time.
type patience struct{ since time.Time }

// over is told of a loss and reports whether it was one too many.
func (p *patience) over(timeout time.Duration) bool {
	if p.since.IsZero() {
		p.since = time.Now()
	}
	return timeout > 0 && time.Since(p.since) > timeout
}
