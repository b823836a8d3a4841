package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/csi-9p/csi-9p/ninep"
)

// Options say what is exported, to whom, and within which limits. Zero values mean the defaults.
type Options struct {
	Root     string         // directory to export
	ReadOnly bool           // answer EROFS to everything that changes the tree
	Squash   *Squash        // act as this user for every client; nil: as the user of the attach
	Allow    []netip.Prefix // TCP peers that may connect; none: loopback only, but with TLS all. Unix and vsock peers always may

	Dialects []ninep.Dialect // spoken; none: all

	MaxMsize    uint32 // largest message in bytes; default 4 MiB of payload and its header
	MaxFids     int    // fids of one connection; default 65536, never more than half of the process's descriptors allow
	MaxInFlight int64  // bytes of requests and replies of one connection that are in memory; default 64 MiB
	MaxConns    int    // connections at once; default 1024
}

// Squash is the one user that every client acts as.
type Squash struct{ UID, GID uint32 }

const (
	defaultMsize    = 4<<20 + ninep.IOHeaderSize
	defaultFids     = 65536
	defaultInFlight = 64 << 20
	defaultConns    = 1024

	// drainTime is how long a connection that ends may take to send its last replies.
	drainTime = 5 * time.Second
	// lingerTime is how long it then waits for the peer to close its end.
	lingerTime = time.Second
)

// ErrOptions is wrapped by what [New] finds wrong with its options.
var ErrOptions = errors.New("server options")

// Server exports one directory. Its methods are safe for concurrent use.
type Server struct {
	options    Options
	root       int    // O_PATH descriptor of the export's root
	rootDev    uint64 // its device
	medium     medium // of its file system
	proc       int    // O_PATH descriptor of /proc/self/fd, to reopen descriptors through
	creds      *credentials
	names      names
	locks      lockTable
	buffers    buffers
	requests   sync.Pool     // of *request
	running    chan struct{} // has an element for each request that is being carried out
	fds        quota         // descriptors of all fids and attachments
	conns      quota         // connections
	serial     atomic.Uint64 // of connections, to tell apart those without an address
	complaints complaints
	counters   counters
	heldUp     atomic.Pointer[error] // why accepting is held up; nil: it is not

	mu      sync.Mutex
	closed  bool
	serving sync.WaitGroup // calls of Serve
	base    context.Context
	cancel  context.CancelFunc
}

// New opens the root and checks that the process can do what the options ask. Close the server after use.
func New(o Options) (*Server, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	creds, err := newCredentials(o.Squash)
	if err != nil {
		return nil, err
	}
	s := &Server{options: o, creds: creds, root: -1, proc: -1, counters: counters{epoch: time.Now()}, running: make(chan struct{}, maxRunning)}
	if err := s.openRoot(); err != nil {
		s.closeFiles()
		return nil, err
	}
	s.locks.host = s.openLocks
	s.conns.limit = int64(o.MaxConns)
	s.fds.limit = descriptorLimit()
	s.options.MaxFids = min(o.MaxFids, int(s.fds.limit/2))
	s.base, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

func (o *Options) complete() error {
	if len(o.Dialects) == 0 {
		o.Dialects = allDialects
	}
	if o.MaxMsize == 0 {
		o.MaxMsize = defaultMsize
	}
	if o.MaxFids == 0 {
		o.MaxFids = defaultFids
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = defaultInFlight
	}
	if o.MaxConns == 0 {
		o.MaxConns = defaultConns
	}
	switch {
	case o.Root == "":
		return fmt.Errorf("%w: no directory to export", ErrOptions)
	case o.MaxMsize < ninep.MinMsize || o.MaxMsize > maxMsize:
		return fmt.Errorf("%w: MaxMsize %d is not within %d and %d", ErrOptions, o.MaxMsize, ninep.MinMsize, maxMsize)
	case o.MaxFids < 0 || o.MaxInFlight < 0 || o.MaxConns < 0:
		return fmt.Errorf("%w: a limit is negative", ErrOptions)
	}
	if err := checkDialects(o.Dialects); err != nil {
		return err
	}
	o.MaxInFlight = max(o.MaxInFlight, 2*int64(bufferSize(int(o.MaxMsize))))
	return nil
}

func (s *Server) openRoot() error {
	var err error
	s.proc, err = unix.Open("/proc/self/fd", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /proc/self/fd (the exporter needs /proc mounted): %w", err)
	}
	s.root, err = unix.Open(s.options.Root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "export", Path: s.options.Root, Err: err}
	}
	probe, err := openBeneath(s.root, ".", unix.O_PATH, 0)
	if err != nil {
		return fmt.Errorf("openat2 beneath %s (Linux 5.6 or later is needed): %w", s.options.Root, err)
	}
	defer unix.Close(probe)
	st, err := stat(probe)
	if err != nil {
		return &os.PathError{Op: "stat", Path: s.options.Root, Err: err}
	}
	s.rootDev, s.medium = device(st), mediumOf(probe)
	return nil
}

// Serve accepts connections until ctx is done or the server is closed, and then returns nil: requests that were read are
// answered first, for at most five seconds. It returns early with an error if the listener fails. It closes l and ends
// every connection that came of it before it returns. Several calls may run at once.
//
// A connection of package mtls has to shake hands before it is served. No more than maxHandshakes of a listener's are at
// it, each for handshakeTime at most: the oldest of the address that has the most makes room.
//
// Serve sets the process's umask to 0: the modes of new files are the client's to choose, and Linux has one umask for
// all threads of a Go program. Make unix sockets before, or everybody on the host may connect to them.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if !s.enter() {
		l.Close()
		return fmt.Errorf("serve %s: %w", l.Addr(), net.ErrClosed)
	}
	defer s.serving.Done()
	unix.Umask(0)
	ctx, cancel := context.WithCancel(ctx)
	var conns sync.WaitGroup
	var shaking handshakes
	closed := make(chan struct{})
	context.AfterFunc(ctx, func() { l.Close(); close(closed) })
	defer func() { cancel(); conns.Wait(); <-closed }()
	defer context.AfterFunc(s.base, cancel)()

	for pause := time.Duration(0); ; {
		nc, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				nc.Close()
			}
			return nil
		case err == nil:
			pause = 0
		case transient(err):
			pause = s.holdUp(ctx, l, err, pause)
			continue
		default:
			return fmt.Errorf("accept on %s: %w", l.Addr(), err)
		}
		if !s.admit(ctx, nc) {
			nc.Close()
			continue
		}
		conns.Go(func() {
			defer s.conns.give(1)
			s.serveConn(ctx, nc, &shaking)
		})
	}
}

// holdUp waits before connections are accepted again, twice as long as the last time, and returns how long.
func (s *Server) holdUp(ctx context.Context, l net.Listener, err error, last time.Duration) time.Duration {
	pause := min(max(2*last, 5*time.Millisecond), time.Second)
	klog.FromContext(ctx).Error(err, "Accepting 9P connections is held up", "listener", l.Addr().String(), "pause", pause)
	s.heldUp.Store(&err)
	sleep(ctx, pause)
	s.heldUp.Store(nil)
	return pause
}

// Accepting reports why connections cannot be accepted at the moment, such as too many open files.
func (s *Server) Accepting(context.Context) error {
	if err := s.heldUp.Load(); err != nil {
		return fmt.Errorf("accepting connections is held up: %w", *err)
	}
	return s.base.Err()
}

// enter registers a call of Serve, unless the server is closed.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.serving.Add(1)
	}
	return !s.closed
}

// Close ends every Serve, as the end of its context would, waits for them and gives the root back. It is idempotent.
func (s *Server) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.serving.Wait()
	if first {
		s.closeFiles()
	}
	return nil
}

func (s *Server) closeFiles() {
	for _, fd := range []int{s.root, s.proc} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// transient reports whether accept(2) may succeed later: it ran out of descriptors or memory, or the peer is gone.
func transient(err error) bool {
	return ninep.IsErrno(err, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ECONNABORTED, unix.EINTR)
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
