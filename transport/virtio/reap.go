package virtio

import (
	"fmt"
	"time"

	"github.com/csi-9p/csi-9p/transport"
)

// batchCalls is how many replies are taken at a time.
const batchCalls = 64

// run takes replies until the connection is dead, then buries it.
func (c *Conn) run() {
	c.fail(fmt.Errorf("virtio device %s: %w", c.device, c.reap()))
	c.bury()
}

// reap takes replies until the device breaks the rules or is gone, or the
// connection was ended.
func (c *Conn) reap() error {
	var b batch
	for {
		took, err := c.take(&b)
		if err != nil {
			return err
		}
		if took {
			continue
		}
		if err := c.Err(); err != nil {
			return err
		}
		if err := c.await(); err != nil {
			return err
		}
	}
}

// await waits until the device has used something, or something else is up.
func (c *Conn) await() error {
	if c.waiting() && c.poller.poll(c.ring) || c.arm() {
		return nil
	}
	start := time.Now()
	changed, err := c.device.Wait()
	c.poller.slept(time.Since(start))
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.ring.Disarm()
	c.mu.Unlock()
	if changed {
		if status := c.device.Status(); status&(StatusNeedsReset|StatusFailed) != 0 {
			return fmt.Errorf("%w: it says that it needs a reset (status %#x)", transport.ErrProtocol, status)
		}
	}
	return nil
}

// waiting reports whether the device has something to answer.
func (c *Conn) waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ring.Outstanding() > 0
}

// arm asks the device for an interrupt, and reports whether there is no need to
// wait for one.
func (c *Conn) arm() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ring.Arm() || c.err != nil
}

// batch is what was taken from the ring at a time.
type batch struct {
	slots [batchCalls]*slot
	calls [batchCalls]*transport.Call
}

// take takes a batch of replies, completes their calls and posts what there is
// room for now. It reports whether there was any.
func (c *Conn) take(b *batch) (took bool, err error) {
	n, err := c.used(b)
	for _, s := range b.slots[:n] {
		if s.written > 0 {
			s.err = s.deliver()
		}
	}
	c.mu.Lock()
	done := 0
	for i, s := range b.slots[:n] {
		b.slots[i] = nil
		if s.err != nil {
			err = s.err // bury completes the call
			continue
		}
		b.calls[done] = c.handed(s)
		done++
	}
	mine := c.startPosting()
	c.mu.Unlock()
	for i, call := range b.calls[:done] {
		b.calls[i] = nil
		call.Done.Complete(call)
	}
	if mine {
		c.post()
	}
	return n > 0, err
}

// used takes what the device has used from the ring, as much as b holds.
func (c *Conn) used(b *batch) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n < len(b.slots) {
		head, written, ok, err := c.ring.Next()
		if err != nil {
			return n, fmt.Errorf("%w: %w", transport.ErrProtocol, err)
		}
		if !ok {
			break
		}
		s := c.heads[head]
		c.heads[head], s.written = nil, written
		b.slots[n] = s
		n++
	}
	return n, nil
}

// handed takes a slot back that the device has handed back and returns its call,
// which is complete, out of the books. The caller holds c.mu.
func (c *Conn) handed(s *slot) *transport.Call {
	call, e := s.call, c.tags.Get(s.call.Tag)
	switch {
	case s.written > 0:
	case e.State.forgotten:
		call.Err = transport.ErrForgotten
	default:
		call.Err = transport.ErrNoReply
	}
	c.release(s)
	c.window.Release(call)
	c.tags.Drop(e)
	return call
}
