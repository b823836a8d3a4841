package mounter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/ninefs"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"k8s.io/klog/v2"
)

// What the volumes of a session have together.
const (
	// slotSize is the payload memory of the largest FUSE request.
	slotSize = 1 << 20
	// arenaLimit is how much of it is in flight.
	arenaLimit = 64 << 20
	// mostFids is how many fids are kept of files that are not open.
	mostFids = 16384
)

// sessionKey tells sessions apart: the server, and those options of a volume
// that a session can have only once.
type sessionKey struct {
	server           string // URL without the aname
	credentials      string // identity of the TLS credentials; guarded by sessions.mu in an open session
	dialect          params.Dialect
	reconnectTimeout time.Duration
}

// session is a connection to a server, shared by volumes.
type session struct {
	key     sessionKey
	refs    int           // guarded by sessions.mu
	volumes int           // among them; guarded by sessions.mu
	waits   time.Duration // for a lost server: reconnectTimeout of these; guarded by sessions.mu
	ready   chan struct{} // closed when what follows is set
	err     error         // why there is no session
	*ninep.Session
	dialer *dialer
	arena  *transport.Arena
	locks  *ninefs.LockTable
	fids   *ninefs.FidCache

	lent    *transport.Flow // of who uses the session through the gateway
	clients atomic.Int64    // the trees that these have attached
}

// sessions are those that are open. The zero value is ready.
type sessions struct {
	mu   sync.Mutex
	open map[sessionKey]*session
	// closed is what sessions have counted that were closed while others with
	// their server were open, by server.
	closed map[string]*driver.ServerStats
}

// get returns the session for a volume on the server of url, opened if it is
// the first. put gives it back. A device bears one session, whatever its volumes
// ask for: see admit. A session that is lost because the ends are not set up for each
// other is no session: its users wait for people.
func (s *sessions) get(ctx context.Context, url dial.URL, o dial.Options, p params.Parameters) (*session, error) {
	url.Aname = ""
	tls := o.TLS
	key := sessionKey{server: url.String(), dialect: p.Dialect, reconnectTimeout: p.ReconnectTimeout}
	if url.Scheme == dial.Virtio {
		key = sessionKey{server: key.server}
	}
	if tls != nil {
		key.credentials = tls.Identity()
	}
	for {
		got, first := s.claim(key)
		if first {
			got.err = got.connect(ctx, &dialer{
				url: url, tls: tls, unsafeDMA: o.AllowUnsafeDMA, logger: klog.FromContext(ctx).WithValues("server", key.server),
			}, p)
			close(got.ready)
		}
		err := got.wait(ctx)
		if err == nil {
			err = got.setup()
		}
		if err == nil {
			return got, nil
		}
		s.put(got)
		// Another caller's impatience says nothing about the server.
		if first || ctx.Err() != nil || !gaveUp(err) {
			return nil, openError(key.server, err)
		}
	}
}

// wait waits until somebody has opened the session, or failed to.
func (s *session) wait(ctx context.Context) error {
	select {
	case <-s.ready:
		return s.err
	default:
	}
	select {
	case <-s.ready:
		return s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// setup returns why people have to help the session to its server, if they have.
func (s *session) setup() error {
	if status := s.Status(); !status.Connected && mtls.IsSetup(status.Err) {
		return status.Err
	}
	return nil
}

func gaveUp(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// claim adds a reference to the session of that key; first tells the caller to
// connect it.
func (s *sessions) claim(key sessionKey) (got *session, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	got, known := s.open[key]
	if !known {
		got = &session{key: key, ready: make(chan struct{})}
		if s.open == nil {
			s.open = make(map[sessionKey]*session)
		}
		s.open[key] = got
	}
	got.refs++
	return got, !known
}

// admit makes a reference one of a volume's, which dismiss gives back. It refuses
// a volume that the session does not suit. reconnectTimeout of a device's session
// is that of its first volume: who uses it through the gateway has no wish.
func (s *sessions) admit(got *session, p params.Parameters) error {
	if err := got.suits(p); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if got.volumes == 0 {
		got.waits = p.ReconnectTimeout
		got.SetReconnectTimeout(got.waits)
	}
	if got.waits != p.ReconnectTimeout {
		return fmt.Errorf("%w: reconnectTimeout=%s: the device's session, which all its volumes on a node share, has %s: give them the same",
			ErrSpec, p.ReconnectTimeout, got.waits)
	}
	got.volumes++
	return nil
}

// dismiss gives a volume's reference back.
func (s *sessions) dismiss(got *session) {
	s.mu.Lock()
	got.volumes--
	s.mu.Unlock()
	s.put(got)
}

// put gives a reference back and closes the session with the last one. A
// session that failed to open is forgotten at once.
func (s *sessions) put(got *session) {
	s.mu.Lock()
	got.refs--
	last := got.refs == 0
	if (last || got.failed()) && s.open[got.key] == got {
		delete(s.open, got.key)
		if got.opened() {
			s.bury(got)
		}
	}
	s.mu.Unlock()
	if last && got.Session != nil {
		got.end()
	}
}

// end closes a session that was opened, to its users too.
func (s *session) end() {
	_ = s.Close() // the server is told nothing that it does not learn from the connection's end
	_ = s.arena.Close()
}

// close ends the sessions that are still open.
func (s *sessions) close() {
	s.mu.Lock()
	open := slices.Collect(maps.Values(s.open))
	s.mu.Unlock()
	for _, one := range open {
		if one.opened() {
			one.end()
		}
	}
}

// failed reports whether the session could not be opened.
func (s *session) failed() bool {
	select {
	case <-s.ready:
		return s.err != nil
	default:
		return false
	}
}

// connect opens the session. Its arena is of memory that the connection's
// transport reaches.
func (s *session) connect(ctx context.Context, d *dialer, p params.Parameters) error {
	opened, err := ninep.Open(ctx, ninep.Config{
		Dial: d.dial, Dialects: dialects(p.Dialect), ReconnectTimeout: p.ReconnectTimeout, Changed: d.changed,
	})
	if err != nil {
		return err
	}
	arena, err := NewArena(&d.memory)
	if err != nil {
		return errors.Join(err, opened.Close())
	}
	s.Session, s.dialer, s.arena = opened, d, arena
	s.locks, s.fids, s.lent = ninefs.NewLockTable(), ninefs.NewFidCache(mostFids), transport.NewFlow(lentBytes)
	return nil
}

// NewArena makes the payload memory of a session.
func NewArena(m *transport.Memory) (*transport.Arena, error) {
	return transport.NewArena(transport.ArenaOptions{SlotSize: slotSize, Limit: arenaLimit, Memory: m})
}

// dialects are those that the client is to ask the server for.
func dialects(d params.Dialect) []ninep.Dialect {
	if d == params.DialectAuto {
		return []ninep.Dialect{ninep.DialectL, ninep.DialectU, ninep.DialectLegacy}
	}
	exact, _ := ninep.ParseDialect(string(d)) // a value that there is, or none: 9P2000.L
	return []ninep.Dialect{exact}
}

// suits checks what a volume demands of the session.
func (s *session) suits(p params.Parameters) error {
	if spoken := s.Dialect().String(); p.Dialect != params.DialectAuto && string(p.Dialect) != spoken {
		return fmt.Errorf("%w: dialect=%s: the device's session, which all its volumes share, speaks %s; use that, or %s",
			ErrSpec, p.Dialect, spoken, params.DialectAuto)
	}
	if p.ZeroCopy == params.ZeroCopyRequire && !s.dialer.copiesNothing() {
		return fmt.Errorf("%w: zeroCopy=%s: its transport copies what it carries; use zeroCopy=%s",
			ErrSpec, params.ZeroCopyRequire, params.ZeroCopyAuto)
	}
	return nil
}

// A server is unreachable when it is lost for longer than a restart of it takes, or
// does not answer a probe: one that takes its time for one request answers that.
const (
	restartGrace = 2 * time.Second
	silenceGrace = 2 * ninep.DefaultProbeAfter
)

// unreachable tells that the server will not answer soon.
func (s *session) unreachable() bool {
	status := s.Status()
	return !status.Connected && time.Since(status.Since) > restartGrace || status.Silent > silenceGrace
}

// explain adds to an error of the server's which one it is, and whether it is
// lost: a caller that waited for it in vain got nothing but its own deadline.
func (s *session) explain(err error) error {
	status := s.Status()
	if status.Connected {
		return fmt.Errorf("server %s: %w%s", s.key.server, err, driver.Advice(err))
	}
	reason := err
	if status.Err != nil {
		reason = status.Err
	}
	if mtls.IsSetup(reason) {
		return fmt.Errorf("server %s is lost since %s: %w", s.key.server, status.Since.UTC().Format("15:04:05 MST"), reason)
	}
	return fmt.Errorf("server %s is lost since %s (%s): %w", s.key.server, status.Since.UTC().Format("15:04:05 MST"), reason.Error(), ninep.ErrLost)
}
