package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"golang.org/x/sys/unix"
)

// OpenSession opens a session as the controller needs it: calls do not wait
// for a lost server, because their caller tries again.
func OpenSession(ctx context.Context, server dial.URL, tls mtls.Source) (*ninep.Session, error) {
	return ninep.Open(ctx, ninep.Config{
		Dial: func(ctx context.Context) (transport.Conn, error) {
			return dial.Dial(ctx, server, dial.Options{TLS: tls})
		},
		ReconnectTimeout: -1,
	})
}

// sessions keeps one session per server and credentials, from its first use until
// it has been idle for a while.
type sessions struct {
	open        func(context.Context, dial.URL, mtls.Source) (*ninep.Session, error)
	openTimeout time.Duration
	idleTime    time.Duration

	mu       sync.Mutex
	byServer map[sessionKey]*session
}

// sessionKey tells sessions apart. A renewed secret has another identity: the
// session of the old one is used no more and ends.
type sessionKey struct{ server, credentials string }

// session is one server's. Its counters belong to sessions.mu.
type session struct {
	users int
	idle  *time.Timer // runs while users is 0

	turn    chan struct{}                 // holds one token: whoever has it may change the fields below
	current atomic.Pointer[ninep.Session] // nil: none is open
	failure error                         // of the last attempt to open one, which no caller cut short
	failed  time.Time                     // when that ended
}

// attachment is a tree in use.
type attachment struct {
	root    *ninep.Fid
	server  string
	release func() // once
}

// explain adds to an error of work on the tree whose it is and what to do about
// it.
func (a *attachment) explain(err error) error {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return err
	}
	return fmt.Errorf("server %s: %w%s", a.server, err, driver.Advice(err))
}

func newSessions(open func(context.Context, dial.URL, mtls.Source) (*ninep.Session, error), openTimeout, idleTime time.Duration) *sessions {
	return &sessions{open: open, openTimeout: openTimeout, idleTime: idleTime, byServer: make(map[sessionKey]*session)}
}

// attach attaches to the tree of u as uid, over the server's session.
func (s *sessions) attach(ctx context.Context, u dial.URL, tls mtls.Source, uid uint32) (*attachment, error) {
	server, aname := u, u.Aname
	server.Aname = ""
	key := sessionKey{server: server.String()}
	if tls != nil {
		key.credentials = tls.Identity()
	}
	entry := s.enter(key)
	current, err := s.connected(ctx, entry, server, tls)
	if err != nil {
		s.leave(key, entry)
		return nil, err
	}
	root, err := current.Attach(ctx, ninep.AttachOptions{UID: uid, Aname: aname})
	if err == nil && !root.QID().IsDir() {
		root.Drop()
		err = fmt.Errorf("attach: %w", unix.ENOTDIR)
	}
	if err != nil {
		s.leave(key, entry)
		return nil, attachError(key.server, aname, err)
	}
	return &attachment{root: root, server: u.String(), release: func() {
		root.Drop()
		s.leave(key, entry)
	}}, nil
}

// enter counts a user in.
func (s *sessions) enter(key sessionKey) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := s.byServer[key]
	if entry == nil {
		entry = &session{turn: make(chan struct{}, 1)}
		entry.turn <- struct{}{}
		s.byServer[key] = entry
	}
	if entry.idle != nil {
		entry.idle.Stop()
	}
	entry.users++
	return entry
}

// leave counts a user out; the last one starts the clock.
func (s *sessions) leave(key sessionKey, entry *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry.users--; entry.users > 0 {
		return
	}
	if s.byServer[key] != entry { // closed meanwhile
		entry.end()
		return
	}
	entry.idle = time.AfterFunc(s.idleTime, func() { s.expire(key, entry) })
}

// expire closes a session that is still idle.
func (s *sessions) expire(key sessionKey, entry *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry.users == 0 && s.byServer[key] == entry {
		delete(s.byServer, key)
		entry.end()
	}
}

// close forgets all sessions and ends those that nobody uses; the others end
// with their last user.
func (s *sessions) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, entry := range s.byServer {
		delete(s.byServer, key)
		if entry.users > 0 {
			continue
		}
		entry.idle.Stop()
		entry.end()
	}
}

// end closes the session of an entry without users.
func (e *session) end() {
	<-e.turn
	if current := e.current.Swap(nil); current != nil {
		_ = current.Close()
	}
	e.turn <- struct{}{}
}

// stats returns the statistics of the sessions that are open.
func (s *sessions) stats() []driver.ServerStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	byServer := make(map[string]*driver.ServerStats)
	for key, entry := range s.byServer {
		server := key.server
		current := entry.current.Load()
		if current == nil {
			continue
		}
		if byServer[server] == nil {
			byServer[server] = &driver.ServerStats{Server: server}
		}
		byServer[server].Add(current)
	}
	var all []driver.ServerStats
	for _, one := range byServer {
		all = append(all, *one)
	}
	return all
}

// connected returns the entry's session, a new one if there is none or if it
// has lost its server: dialling anew tells at once why. Who has waited for an
// attempt that failed takes its error: one after the other, the calls for many
// volumes would wait for a dead server for longer than their callers do.
func (s *sessions) connected(ctx context.Context, entry *session, server dial.URL, tls mtls.Source) (*ninep.Session, error) {
	came := time.Now()
	select {
	case <-entry.turn:
	case <-ctx.Done():
		return nil, openError(ctx, server.String(), ctx.Err())
	}
	defer func() { entry.turn <- struct{}{} }()
	if current := entry.current.Load(); current != nil {
		if current.Status().Connected {
			return current, nil
		}
		entry.current.Store(nil)
		_ = current.Close()
	}
	if entry.failed.After(came) {
		return nil, entry.failure
	}
	opened, err := s.dial(ctx, server, tls)
	if err != nil {
		if ctx.Err() == nil {
			entry.failure, entry.failed = err, time.Now()
		}
		return nil, err
	}
	entry.current.Store(opened)
	return opened, nil
}

// dial opens a session within openTimeout.
func (s *sessions) dial(ctx context.Context, server dial.URL, tls mtls.Source) (*ninep.Session, error) {
	openCtx, cancel := context.WithTimeout(ctx, s.openTimeout)
	defer cancel()
	opened, err := s.open(openCtx, server, tls)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no answer within %v", s.openTimeout)
		}
		return nil, openError(ctx, server.String(), err)
	}
	return opened, nil
}

// openError tells a server that is down from a caller that went away, and from
// ends that are not set up for each other.
func openError(ctx context.Context, server string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("server %s: %w", server, ctx.Err())
	}
	if errors.Is(err, mtls.ErrNone) || errors.Is(err, mtls.ErrFiles) {
		return fmt.Errorf("server %s: %w; name a Secret with ca.crt, tls.crt and tls.key in the StorageClass, by csi.storage.k8s.io/provisioner-secret-name and "+
			"csi.storage.k8s.io/provisioner-secret-namespace, and the same of controller-expand; or give the controller good files by --tls-ca, --tls-cert and --tls-key", server, err)
	}
	if mtls.IsSetup(err) {
		return fmt.Errorf("server %s: %w", server, err)
	}
	if errors.Is(err, ninep.ErrDialect) {
		return fmt.Errorf("server %s: %w; volumes are provisioned over 9P2000.L, whatever dialect the nodes speak: older ones cannot rename "+
			"between directories; let the server speak it, or write PersistentVolumes by hand", server, err)
	}
	return fmt.Errorf("server %s is %w: %w; check that it runs, speaks 9P2000.L and lets the controller in",
		server, driver.ErrUnavailable, err)
}

// attachError says what to look at when a server refuses a tree.
func attachError(server, aname string, err error) error {
	return fmt.Errorf("server %s, tree %q: %w%s", server, aname, err, driver.AttachAdvice(err))
}
