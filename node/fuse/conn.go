package fuse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

// ErrAborted is what [Conn.Wait] returns when the connection was aborted through fusectl.
var ErrAborted = errors.New("fuse: connection aborted")

// Handler carries requests out.
type Handler interface {
	// Handle takes one request. It runs on a reader's goroutine and must not block, or nothing else is read meanwhile; the
	// answer may come later from any goroutine. INIT, INTERRUPT and DESTROY do not get here, nor does what the kernel cannot
	// have meant. An opcode that the handler does not know is answered with ENOSYS.
	Handle(*Request)
}

// Limits of a [Config].
const (
	DefaultMaxWrite            = 1 << 20
	DefaultMaxBackground       = 64
	DefaultCongestionThreshold = 48
	maxReaders                 = 4
)

// Config says how a connection is served.
type Config struct {
	// Handler gets the requests. Required.
	Handler Handler
	// Buffers is where payloads land. Required.
	Buffers Buffers
	// MaxWrite is the largest payload of a request, in bytes: a multiple of the page size of at least 8 KiB, by default 1 MiB.
	// The kernel takes no more than fs.fuse.max_pages_limit pages. An extended attribute must fit as well.
	MaxWrite int
	// Readers is the number of goroutines that read requests, 1 to 4, by default 1. More than the work needs cost time.
	Readers int
	// Flags are the flags to ask for; what the kernel does not offer is left out. Zero means [DefaultFlags].
	//
	// AllowIDMap (Linux 6.12) lets the mount be copied with its owners mapped (mount_setattr(2), MOUNT_ATTR_IDMAP), as
	// container runtimes do for a pod with a user namespace. It is for mounts with DefaultPermissions alone: on any other the
	// kernel takes INIT's answer for wrong and refuses every request (process_init_reply of fs/fuse/inode.c). With it,
	// requests have the ids of a caller only when they make a file, see [NoID].
	Flags InitFlags
	// MaxBackground and CongestionThreshold bound the kernel's asynchronous requests; by default 64 and 48.
	MaxBackground, CongestionThreshold uint16
	// State is where the [InitRecord] is kept: at least InitRecordSize bytes aligned to 8, zero for a new connection. In
	// memory that outlives the process, such as a memfd, it lets a successor resume: Serve finds the record complete, asks
	// the kernel to send again what is unanswered, and does not wait for INIT. nil keeps it in this process alone.
	State []byte
	// IOURing has requests come by io_uring (Linux 6.14) instead of /dev/fuse. It takes a thread for the connection, which the
	// goroutine that calls Handler is locked to (runtime.LockOSThread), and payload memory of its own beside Buffers: as much as
	// requests with payload are under way at once, which is up to 64 MiB, or 128 MiB on machines with many CPUs, where MaxWrite
	// shrinks for it. A connection that uses it cannot be resumed.
	IOURing IOURing
}

// withDefaults returns a checked copy.
func (cfg Config) withDefaults() (Config, error) {
	if cfg.MaxWrite == 0 {
		cfg.MaxWrite = DefaultMaxWrite
	}
	if cfg.Readers == 0 {
		cfg.Readers = 1
	}
	if cfg.Flags == 0 {
		cfg.Flags = DefaultFlags
	}
	if cfg.MaxBackground == 0 {
		cfg.MaxBackground = DefaultMaxBackground
	}
	if cfg.CongestionThreshold == 0 {
		cfg.CongestionThreshold = min(DefaultCongestionThreshold, cfg.MaxBackground)
	}
	var what string
	switch {
	case cfg.Handler == nil:
		what = "no Handler"
	case cfg.Buffers == nil:
		what = "no Buffers"
	case cfg.MaxWrite < minReadBuffer || cfg.MaxWrite%os.Getpagesize() != 0 || cfg.MaxWrite/os.Getpagesize() > 1<<16-1:
		what = fmt.Sprintf("MaxWrite %d", cfg.MaxWrite)
	case cfg.Readers < 0 || cfg.Readers > maxReaders:
		what = fmt.Sprintf("%d Readers", cfg.Readers)
	case cfg.Flags&^supportedFlags != 0:
		what = fmt.Sprintf("unsupported Flags %#x", uint64(cfg.Flags&^supportedFlags))
	default:
		return cfg, nil
	}
	return cfg, fmt.Errorf("fuse: Config has %s: %w", what, unix.EINVAL)
}

// Conn is a connection being served. Its methods are safe for concurrent use.
type Conn struct {
	cfg  Config
	log  klog.Logger
	base context.Context // parent of every request's context; ends with nothing
	init *InitRecord
	loop loop

	negotiated chan error    // gets the outcome of INIT, once
	stopping   atomic.Bool   // set by Close: the end of serve is not the connection's
	served     chan struct{} // closed when serve has returned, after serveErr is set
	serveErr   error

	counters counters

	// unanswered counts the requests handed out, plus one until Close. drained is closed when it reaches 0.
	unanswered atomic.Int64
	drained    chan struct{}
	closing    sync.Once
	closeErr   error

	requests requests
}

// Serve negotiates with the kernel on the connection of dev, which must be mounted, and serves it until it ends or
// [Conn.Close]. ctx bounds the negotiation alone; its logger and values reach the requests' contexts. dev stays the caller's
// and may be closed: Conn has a duplicate.
//
// Errors wrap [ErrProtocol], ctx's error, [ErrEnded] when the mount is gone, or an errno: EPERM when dev is not mounted,
// EINVAL for a wrong cfg.
func Serve(ctx context.Context, dev *os.File, cfg Config) (*Conn, error) {
	record, err := initRecordIn(cfg.State)
	if err != nil {
		return nil, err
	}
	resume := record.done()
	if resume {
		cfg.MaxWrite, cfg.IOURing = int(record.Out.MaxWrite), IOURingOff
	}
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, err
	}
	if resume && record.Flags()&overIOURing != 0 {
		return nil, fmt.Errorf("fuse: a connection served by io_uring cannot be resumed: unmount it: %w", unix.EOPNOTSUPP)
	}
	c := newConn(ctx, cfg, record)
	if c.loop, err = newLoop(c, dev); err != nil {
		return nil, err
	}
	if resume {
		if err := c.resume(); err != nil {
			return nil, err
		}
		return c, nil
	}
	go c.serve()
	err = c.awaitInit(ctx)
	if err == nil {
		err = c.loop.negotiated(record.Flags())
	}
	if err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	return c, nil
}

func newConn(ctx context.Context, cfg Config, record *InitRecord) *Conn {
	c := &Conn{
		cfg:        cfg,
		log:        klog.FromContext(ctx),
		base:       context.WithoutCancel(ctx),
		init:       record,
		negotiated: make(chan error, 1),
		served:     make(chan struct{}),
		drained:    make(chan struct{}),
	}
	c.unanswered.Store(1)
	return c
}

// resume serves a connection that has been negotiated. First of all it has the kernel send again what a predecessor left
// unanswered, where the kernel can (Linux 6.9); elsewhere the callers of such requests wait until they are killed.
func (c *Conn) resume() error {
	if c.init.Flags()&HasResend != 0 {
		if err := c.notify(notifyResend, nil); err != nil {
			return errors.Join(err, c.loop.close())
		}
	}
	go c.serve()
	return nil
}

// serve runs the loop to its end.
func (c *Conn) serve() {
	defer close(c.served)
	c.serveErr = c.loop.serve()
	if !c.stopping.Load() {
		c.interruptAll(ErrEnded)
	}
}

// awaitInit waits for INIT, the first request of every connection, to be answered.
func (c *Conn) awaitInit(ctx context.Context) error {
	select {
	case err := <-c.negotiated:
		return err
	case <-c.served:
		return fmt.Errorf("fuse: wait for INIT: %w", cmp.Or(c.serveErr, ErrEnded))
	case <-ctx.Done():
		return fmt.Errorf("fuse: wait for INIT: %w", ctx.Err())
	}
}

// Init returns what was negotiated.
func (c *Conn) Init() InitRecord { return *c.init }

// Wait waits until nothing is read from the connection any more and returns nil after an unmount or [Conn.Close],
// [ErrAborted] after an abort, or what else ended it. Requests under way are told to give up when the connection ends; Close,
// which is due then too, waits for them.
func (c *Conn) Wait() error {
	<-c.served
	return c.serveErr
}

// Done is closed when Wait would return.
func (c *Conn) Done() <-chan struct{} { return c.served }

// Close stops reading, waits until every request handed out is answered or ctx ends, and lets go of the device. It ends
// neither the connection nor the mount if somebody else has the device open: another [Serve] takes over where this one
// stopped. Requests still unanswered when ctx ends are told to give up and their answers are dropped, so that the successor
// gets them; the error then wraps ctx's. After nil the handler has no request and gets none.
func (c *Conn) Close(ctx context.Context) error {
	c.closing.Do(func() { c.closeErr = c.close(ctx) })
	return c.closeErr
}

func (c *Conn) close(ctx context.Context) error {
	c.stopping.Store(true)
	c.loop.stop()
	<-c.served
	c.release()
	var err error
	select {
	case <-c.drained:
	case <-ctx.Done():
		if n := c.unanswered.Load(); n > 0 {
			err = fmt.Errorf("fuse: %d requests left unanswered: %w", n, ctx.Err())
		}
	}
	err = errors.Join(err, c.loop.close())
	c.interruptAll(ErrEnded)
	return err
}

// dispatch has r carried out, here if it is the connection's own affair. malformed says that r is not what the kernel can have
// meant.
func (c *Conn) dispatch(r *Request, malformed error) {
	c.unanswered.Add(1)
	op := r.Opcode()
	c.counters.request(op)
	switch {
	case malformed != nil && (op == OpForget || op == OpBatchForget || op == OpInterrupt):
		r.NoReply()
	case malformed != nil:
		r.ReplyError(unix.EIO)
	case op == OpInit:
		c.answerInit(r)
	case op == OpDestroy:
		r.ReplyOK()
	case op == OpInterrupt:
		if unique := In[InterruptIn](r).Unique &^ uniqueResent; !c.interrupt(unique, ErrInterrupted) {
			c.loop.missed(unique)
		}
		r.NoReply()
	default:
		c.cfg.Handler.Handle(r)
	}
}

// answerInit negotiates, unless a predecessor did but could not answer any more, and answers.
func (c *Conn) answerInit(r *Request) {
	if c.init.done() {
		r.replyInit(&c.init.Out)
		return
	}
	err := c.init.negotiate(In[InitIn](r), &c.cfg)
	if err != nil {
		r.ReplyError(unix.EPROTO)
	} else {
		r.replyInit(&c.init.Out)
	}
	c.negotiated <- err
}

// release takes one off unanswered.
func (c *Conn) release() {
	if c.unanswered.Add(-1) == 0 {
		close(c.drained)
	}
}

// done takes an answered request back.
func (c *Conn) done(r *Request) {
	c.requests.recycle(r)
	c.release()
}

// interrupt tells the owner of the request with this unique to give up. It reports whether there is one: a request is published
// before the next one is read, and the kernel sends INTERRUPT after the request, so one that is not found has been answered,
// unless it came another way.
func (c *Conn) interrupt(unique uint64, cause error) bool {
	if unique == 0 {
		return false
	}
	for _, r := range c.requests.list() {
		if r.unique.Load() == unique {
			r.interrupt(unique, cause)
			return true
		}
	}
	return false
}

// interruptAll tells the owners of all requests to give up.
func (c *Conn) interruptAll(cause error) {
	for _, r := range c.requests.list() {
		if unique := r.unique.Load(); unique != 0 {
			r.interrupt(unique, cause)
		}
	}
}
