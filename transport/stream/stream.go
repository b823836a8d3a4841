// Package stream carries 9P over byte streams: TCP, TLS, unix sockets, vsock and
// anything else that is a net.Conn.
//
// Sending combines: whoever submits a call while nobody writes becomes the
// writer and hands what is queued, its own call and those that others submit
// meanwhile, to the socket without blocking, head and payload of several calls
// in one writev(2) from where they lie. When the socket is full a goroutine
// takes over and waits for it. Receiving is one goroutine, which parses a
// reply's head before it places the payload straight into the call's memory; while
// more large ones are due, what is done with one is another goroutine's.
package stream

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/csi-9p/csi-9p/transport"
)

// Defaults of Options.
const (
	DefaultMaxMsize = 4<<20 + 24
	DefaultSlots    = 256
	DefaultReserve  = 32
	DefaultWindow   = 64 << 20
	DefaultShared   = 2 << 20
)

// payloadThreshold is the payload length from which apart pays (1024 bytes, as
// the kernel's client has it: net/9p/client.c, p9_client_read_once).
const payloadThreshold = 1024

// Options shape a Conn. The zero value is good.
type Options struct {
	// Name is what Traits report; empty: the network of the connection.
	Name string
	// MaxMsize is the largest message in bytes, either way; 0: DefaultMaxMsize.
	MaxMsize uint32
	// Slots is how many calls may be in flight; 0: DefaultSlots.
	Slots int
	// Reserve is how many slots urgent calls have beyond those; 0:
	// DefaultReserve.
	Reserve int
	// Window is how many payload bytes may be in flight; 0: DefaultWindow.
	Window int64
	// Shared is how many while several flows have calls; 0: DefaultShared.
	Shared int64
}

// state is how far a call has come.
type state uint8

const (
	waiting state = iota // in the window's queues
	ready                // admitted, to be sent
	writing              // in the writer's batch
	sent                 // wholly written
	over                 // it ended while it was in the batch: the writer completes it
)

// Conn is a transport.Conn on a byte stream.
type Conn struct {
	conn   net.Conn
	wire   wire
	traits transport.Traits

	msize    atomic.Uint32
	stats    counters
	in       *reader
	splicing splicing
	batch    batch                // the writer's
	ended    transport.Queue      // the writer's: calls that it has to complete
	handover chan struct{}        // the writing goes to the writer goroutine
	aside    chan *transport.Call // calls that finisher completes
	lost     chan struct{}

	mu         sync.Mutex
	idle       sync.Cond // what run waits for may have come true
	tags       transport.Tags[state]
	window     *transport.Window
	urgent     transport.Queue // admitted, not yet in a batch
	ready      transport.Queue // likewise
	writing    bool            // someone is the writer: the batch and the wire's sending side are theirs
	receiving  *transport.Call // the call whose reply is being read
	completing int             // calls of Forget and of finisher that are not done
	err        error           // why it is dead
}

var _ transport.Conn = (*Conn)(nil)

// New makes a connection of c and owns it from then on. A TCP connection gets
// TCP_NODELAY, keepalive and a user timeout. One that offers syscall.Conn is
// written with writev; another, such as TLS, by its Write, and is not zero copy.
func New(c net.Conn, o Options) *Conn {
	o = o.withDefaults(c)
	Tune(c)
	w, direct := newWire(c)
	s := &Conn{
		conn: c,
		wire: w,
		traits: transport.Traits{
			Name:      o.Name,
			MaxMsize:  o.MaxMsize,
			ZeroCopy:  direct,
			Threshold: payloadThreshold,
			Slots:     o.Slots,
			Window:    o.Window,
		},
		handover: make(chan struct{}, 1),
		aside:    make(chan *transport.Call, asideCalls),
		lost:     make(chan struct{}),
		window:   transport.NewWindow(transport.WindowOptions{Slots: o.Slots, Bytes: o.Window, Shared: o.Shared, Reserve: o.Reserve}),
	}
	s.idle.L = &s.mu
	s.msize.Store(o.MaxMsize)
	s.in = newReader(w)
	s.splicing.init(w)
	go s.writer()
	go s.finisher()
	go s.run()
	return s
}

func (o Options) withDefaults(c net.Conn) Options {
	if o.Name == "" {
		o.Name = c.RemoteAddr().Network()
	}
	if o.MaxMsize == 0 {
		o.MaxMsize = DefaultMaxMsize
	}
	if o.Slots <= 0 {
		o.Slots = DefaultSlots
	}
	if o.Reserve <= 0 {
		o.Reserve = DefaultReserve
	}
	if o.Window <= 0 {
		o.Window = DefaultWindow
	}
	if o.Shared <= 0 {
		o.Shared = DefaultShared
	}
	return o
}

// Submit implements transport.Conn.
func (c *Conn) Submit(call *transport.Call) {
	call.N, call.Pipe, call.Copied, call.Err = 0, nil, 0, nil
	c.mu.Lock()
	err := c.check(call)
	if err == nil {
		c.tags.Put(call)
		c.window.Push(call)
	}
	if call.More {
		c.admit() // before the calls that go with it, of whatever kind they are
	}
	mine := !call.More && c.startWriting()
	c.mu.Unlock()
	if err != nil {
		call.Err = err
		call.Done.Complete(call)
	}
	if mine {
		c.combine()
	}
}

// check says why call cannot be taken. The caller holds c.mu.
func (c *Conn) check(call *transport.Call) error {
	if c.err != nil {
		return c.err
	}
	if err := call.Check(c.msize.Load()); err != nil {
		return err
	}
	if c.tags.Get(call.Tag) != nil {
		return fmt.Errorf("%w: tag %d is in use", transport.ErrInvalidCall, call.Tag)
	}
	return nil
}

// Withdraw implements transport.Conn.
func (c *Conn) Withdraw(call *transport.Call) bool {
	c.mu.Lock()
	e := c.tags.Get(call.Tag)
	if e == nil || e.Call != call || c.err != nil {
		c.mu.Unlock()
		return false
	}
	switch e.State {
	case waiting:
		c.window.Remove(call)
	case ready:
		if !c.urgent.Remove(call) {
			c.ready.Remove(call)
		}
		c.window.Release(call)
	default:
		c.mu.Unlock()
		return false
	}
	c.tags.Drop(e)
	mine := c.startWriting() // calls behind this one may fit now
	c.mu.Unlock()
	if mine {
		c.combine()
	}
	return true
}

// Traits implements transport.Conn.
func (c *Conn) Traits() transport.Traits { return c.traits }

// SetMsize implements transport.Conn.
func (c *Conn) SetMsize(n uint32) { c.msize.Store(min(n, c.traits.MaxMsize)) }

// Lost implements transport.Conn.
func (c *Conn) Lost() <-chan struct{} { return c.lost }

// Err implements transport.Conn.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close implements transport.Conn.
func (c *Conn) Close() error {
	c.fail(transport.ErrClosed)
	return nil
}

// fail makes err the reason of the connection's death, if it is the first, and
// wakes whoever reads or writes; run completes the calls.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = err
	}
	c.mu.Unlock()
	if first {
		// Its error tells nothing that err does not.
		_ = c.conn.Close()
	}
}

// run receives until the connection is dead, then buries it.
func (c *Conn) run() {
	err := c.receive()
	c.fail(fmt.Errorf("%s connection to %s: %w", c.traits.Name, c.conn.RemoteAddr(), err))

	c.mu.Lock()
	for c.writing || c.completing > 0 {
		c.idle.Wait()
	}
	var done transport.Queue
	for e := range c.tags.All() {
		call, state := e.Call, e.State
		if state == waiting {
			c.window.Remove(call)
		} else {
			c.urgent.Remove(call)
			c.ready.Remove(call)
			c.window.Release(call)
		}
		if state != over {
			call.N, call.Err = 0, c.err
		}
		c.tags.Drop(e)
		done.Push(call)
	}
	c.mu.Unlock()

	c.splicing.pipes.Close()
	close(c.handover) // on a dead connection nobody becomes the writer
	close(c.aside)
	for call := done.Pop(); call != nil; call = done.Pop() {
		call.Done.Complete(call)
	}
	close(c.lost)
}

// newWire picks the way that c's bytes go, and says whether the kernel moves
// them from and to where the calls have them.
func newWire(c net.Conn) (w wire, direct bool) {
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return newSocket(raw), true
		}
	}
	return newPlain(c), false
}
