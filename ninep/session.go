package ninep

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/csi-9p/csi-9p/transport"
)

// connectTimeout bounds dialling and negotiating where no context does: a peer that accepts and says nothing is
// not a 9P server.
const connectTimeout = 15 * time.Second

// Config is what a [Session] is opened with.
type Config struct {
	// Dial makes a connection to the server: first in Open, and again after each loss.
	Dial func(context.Context) (transport.Conn, error)
	// Msize is the largest message to propose, in bytes; 0: the most that the transport takes.
	Msize uint32
	// Dialects are those to ask for, the one liked best first; a reconnect keeps to what was agreed on. Empty: 9P2000.L.
	Dialects []Dialect
	// ReconnectTimeout is how long calls wait for a lost server, counted from its loss. 0: for ever; negative: not at
	// all.
	ReconnectTimeout time.Duration
	// ProbeAfter is how long a server may answer nothing, while something is asked of it, before it is probed by a Tflush
	// of no request. One that has answered nothing for 16 times as long is frozen: its connection is treated as lost.
	// Servers that run one request at a time answer the probe behind what they are at, so that bounds how long one
	// of their requests may take. 0: DefaultProbeAfter, which makes that 40 s; negative: there is no probing.
	ProbeAfter time.Duration
	// Changed, unless nil, is told of each loss, of each attempt to reconnect that failed and of the one that did not,
	// one after the other. It must not block.
	Changed func(Status)
}

// Session is one conversation with a server, which outlives its connections: when one is lost it dials again, binds
// every fid again and repeats what was under way. It is safe for concurrent use.
type Session struct {
	config   Config
	clientID string
	dialect  Dialect
	features features
	owners   owners
	counters counters
	places   tree

	reconnectTimeout atomic.Int64 // Config's, or of SetReconnectTimeout

	current atomic.Pointer[link] // nil while the server is lost
	stop    context.CancelFunc   // ends maintain
	closed  chan struct{}        // closed when Close begins
	done    chan struct{}        // closed when maintain has ended

	mu         sync.Mutex
	up         chan struct{} // closed when current is set again; nil while it is
	since      time.Time     // of the connection or of its loss
	silence    time.Duration // of the server before the loss
	reconnects uint64
	trouble    error // of the loss or of the last attempt to reconnect
	parked     map[*parking]struct{}

	fidMu   sync.Mutex
	numbers numbers
	fids    map[FID]*Fid // every fid that has a number
}

// Open dials the server and negotiates the size of messages. Without a deadline in ctx it takes 15 s at most. The error
// is Dial's, or wraps [ErrNotNineP], [ErrDialect] or [ErrMsizeTooSmall].
func Open(ctx context.Context, config Config) (*Session, error) {
	id, err := newClientID()
	if err != nil {
		return nil, err
	}
	s := &Session{
		config:   config,
		clientID: id,
		counters: counters{epoch: time.Now()},
		closed:   make(chan struct{}),
		done:     make(chan struct{}),
		since:    time.Now(),
		parked:   map[*parking]struct{}{},
		fids:     map[FID]*Fid{},
	}
	s.SetReconnectTimeout(config.ReconnectTimeout)
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, connectTimeout)
		defer cancel()
	}
	wanted := config.Dialects
	if len(wanted) == 0 {
		wanted = []Dialect{DialectL}
	}
	l, err := s.connect(ctx, wanted)
	if err != nil {
		return nil, fmt.Errorf("open a 9P session: %w", err)
	}
	s.dialect = l.dialect
	s.features.reset(l)
	s.current.Store(l)
	running, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.maintain(running, l)
	return s, nil
}

// newClientID names this session to the server's lock tables: the host for people, a random part because locks of two
// sessions must never be taken for one owner's.
func newClientID() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails, as documented
	return host + "-" + hex.EncodeToString(random[:]), nil
}

// Close ends the session: it closes the connection, which releases every fid on the server, and fails every call with
// [ErrClosed]. When it returns, all calls are complete and no goroutine is left. Further calls do nothing.
func (s *Session) Close() error {
	s.mu.Lock()
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	s.mu.Unlock()
	s.stop()
	<-s.done
	return nil
}

// Dialect is what the session speaks.
func (s *Session) Dialect() Dialect { return s.dialect }

// MaxPayload is the most payload bytes that one message of the session carries now. A reconnect may lower it.
func (s *Session) MaxPayload() int { return int(s.features.msize.Load()) - IOHeaderSize }

// Status is how a session's connection fares.
type Status struct {
	Connected  bool
	Since      time.Time // of the connection, or of its loss
	Reconnects uint64    // how often a lost connection was replaced
	Err        error     // why it is lost, or why the last attempt to reconnect failed; nil when connected
	// Silent is how long a connected server has answered nothing although it was asked, in multiples of
	// Config.ProbeAfter. More than one says that it did not even answer the probe. Always zero without probing.
	Silent time.Duration
}

// Status tells how the connection fares.
func (s *Session) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := Status{Connected: s.up == nil, Since: s.since, Reconnects: s.reconnects, Err: s.trouble}
	if l := s.current.Load(); l != nil {
		status.Silent = time.Duration(l.silent.Load())
	}
	return status
}

// lost records that the link is gone. Every one who meets its end may call it.
func (s *Session) lost(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.Load() != l {
		return
	}
	s.current.Store(nil)
	s.up = make(chan struct{})
	s.since, s.silence = time.Now(), time.Duration(l.silent.Load())
	s.trouble = l.reason()
}

// await returns the current link. While there is none it waits for one, as long as ctx and the session's time-out
// allow.
func (s *Session) await(ctx context.Context) (*link, error) {
	for {
		if s.isClosed() {
			return nil, ErrClosed
		}
		if l := s.current.Load(); l != nil {
			return l, nil
		}
		Block(ctx)
		s.mu.Lock()
		up := s.up
		deadline, bounded := s.deadlineOf(lostTimeoutOf(ctx))
		s.mu.Unlock()
		if up == nil {
			continue
		}
		if err := s.waitUp(ctx, up, deadline, bounded); err != nil {
			return nil, err
		}
	}
}

func (s *Session) waitUp(ctx context.Context, up chan struct{}, deadline time.Time, bounded bool) error {
	var expired <-chan time.Time
	if bounded {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-up:
		return nil
	case <-expired:
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.up != up {
			return nil // it came back in the same moment
		}
		return s.whyLost()
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closed:
		return ErrClosed
	}
}

// lostError is the cause of calls that gave up waiting.
func (s *Session) lostError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.whyLost()
}

// whyLost is lostError for one who holds s.mu.
func (s *Session) whyLost() error {
	if s.trouble == nil {
		return ErrLost
	}
	return fmt.Errorf("%w since %s: %w", ErrLost, s.since.Format(time.RFC3339), s.trouble)
}

func (s *Session) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// do runs try on the current link, and when the link is lost under it again on the next: try must be something that
// may be repeated from its start. again is false only if no earlier try can have had an effect on the server.
func (s *Session) do(ctx context.Context, try func(l *link, again bool) error) error {
	var patience patience
	for again := false; ; {
		l, err := s.await(ctx)
		if err != nil {
			return err
		}
		err = try(l, again)
		var lost *linkError
		if !errors.As(err, &lost) {
			return err
		}
		Block(ctx)
		again = again || !lost.unsent
		s.lost(l)
		if patience.over(s.lostTimeout(lostTimeoutOf(ctx))) {
			return s.lostError()
		}
	}
}
