package virtio

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/virtio/vring"
)

// Defaults of Options.
const (
	DefaultMaxMsize = 4<<20 + 24
	DefaultWindow   = 64 << 20
	DefaultShared   = 2 << 20
	DefaultPoll     = 200 * time.Microsecond // as the kernel polls for halted guests (halt_poll_ns of kvm)
)

// payloadThreshold is the payload length from which apart pays (1024 bytes, as
// the kernel's client has it: net/9p/client.c, p9_client_read_once).
const payloadThreshold = 1024

// Options shape a Conn. The zero value is good.
type Options struct {
	// Memory is what payload lies in that is not to be copied; nil: none does.
	Memory *transport.Memory
	// MaxMsize is the largest message in bytes, either way; 0: DefaultMaxMsize.
	// A small queue allows for less.
	MaxMsize uint32
	// Poll is how long the device is polled for a reply before its interrupt is
	// waited for, at most: as long as that goes well, it is; otherwise less and
	// less. 0: DefaultPoll, with several processors; negative: not at all.
	Poll time.Duration
}

// Conn is a transport.Conn on a virtio-9p device.
type Conn struct {
	device Device
	memory *transport.Memory
	log    klog.Logger
	traits transport.Traits
	limits limits
	poller poller
	lost   chan struct{}
	free   func() error // of the ring's own memory

	msize atomic.Uint32

	mu      sync.Mutex
	idle    sync.Cond // what bury waits for may have come true
	ring    *vring.Ring
	heads   []*slot // outstanding, by head
	slots   *slot   // free
	chunks  []shared
	reserve int // descriptors that none but urgent calls may take
	window  *transport.Window
	tags    transport.Tags[state]
	pending *slot // admitted: waits for chunks or descriptors
	posting bool  // someone is the poster
	err     error // why it is dead
}

var _ transport.Conn = (*Conn)(nil)

// state is where a call is.
type state struct {
	slot      *slot // nil: it waits in the window
	forgotten bool  // there will be no reply
}

// Submit implements transport.Conn.
func (c *Conn) Submit(call *transport.Call) {
	call.N, call.Pipe, call.Copied, call.Bounced, call.Err = 0, nil, 0, 0, nil
	c.mu.Lock()
	if err := c.check(call); err != nil {
		c.mu.Unlock()
		call.Err = err
		call.Done.Complete(call)
		return
	}
	c.tags.Put(call)
	c.window.Push(call)
	mine := c.startPosting()
	c.mu.Unlock()
	if mine {
		c.post()
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
	switch {
	case cap(call.Reply) < transport.PayloadHeadSize:
		return fmt.Errorf("%w: room for %d bytes of a reply, %d are needed",
			transport.ErrInvalidCall, cap(call.Reply), transport.PayloadHeadSize)
	case call.Urgent && (len(call.Out)+len(call.In) > 0 || len(call.Head) > outRoom || cap(call.Reply) > inRoom):
		return fmt.Errorf("%w: an urgent message is a short one", transport.ErrInvalidCall)
	case c.tags.Get(call.Tag) != nil:
		return fmt.Errorf("%w: tag %d is in use", transport.ErrInvalidCall, call.Tag)
	}
	return nil
}

// Withdraw implements transport.Conn.
func (c *Conn) Withdraw(call *transport.Call) bool {
	c.mu.Lock()
	e := c.tags.Get(call.Tag)
	switch {
	case e == nil || e.Call != call || c.err != nil:
		c.mu.Unlock()
		return false
	case e.State.slot == nil:
		c.window.Remove(call)
	case e.State.slot == c.pending:
		c.pending = nil
		c.release(e.State.slot)
		c.window.Release(call)
	default:
		c.mu.Unlock()
		return false
	}
	c.tags.Drop(e)
	mine := c.startPosting() // calls behind this one may fit now
	c.mu.Unlock()
	if mine {
		c.post()
	}
	return true
}

// Forget implements transport.Conn. A device that has ended a request because
// of a Tflush hands it back with no reply, before it answers the Tflush (QEMU,
// hw/9pfs/9p.c: pdu_complete), so that the call is complete by then. What it has
// not handed back is still its own.
func (c *Conn) Forget(tag uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.tags.Get(tag); e != nil && e.State.slot != nil {
		e.State.forgotten = true
	}
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

// fail makes err the reason of the connection's death, if it is the first; run
// does the rest.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = err
	}
	c.mu.Unlock()
	if first {
		c.device.Wake()
	}
}
