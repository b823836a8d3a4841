package virtio

import (
	"time"

	"github.com/csi-9p/csi-9p/transport"
)

// Time between attempts to reset a device that does not confirm it.
const (
	shortestResetPause = 100 * time.Millisecond
	longestResetPause  = 5 * time.Second
)

// bury ends the dead connection: only when the device is known to reach no
// memory any more are the calls that it has had complete, and their memory
// their owners'.
func (c *Conn) bury() {
	c.mu.Lock()
	for c.posting {
		c.idle.Wait()
	}
	c.mu.Unlock()
	c.quiesce()
	c.memory.Detach(c.device)
	// The device is harmless by now. What is wrong with it, or with giving it
	// back, the next one to open it is told.
	_ = c.device.Close()
	_ = c.free() // it is a mapping of ours

	c.mu.Lock()
	var done transport.Queue
	for e := range c.tags.All() {
		call := e.Call
		if !c.window.Remove(call) {
			c.window.Release(call)
		}
		call.N, call.Copied, call.Bounced, call.Err = 0, 0, 0, c.err
		c.tags.Drop(e)
		done.Push(call)
	}
	c.mu.Unlock()
	for call := done.Pop(); call != nil; call = done.Pop() {
		call.Done.Complete(call)
	}
	close(c.lost)
}

// quiesce returns once the device has confirmed its reset, or has lost its reach
// otherwise. Until then calls wait, and so does whoever closes their session:
// nothing else keeps their memory from being written to.
func (c *Conn) quiesce() {
	for pause := shortestResetPause; ; pause = min(2*pause, longestResetPause) {
		err := c.device.Reset()
		if err == nil || c.device.Close() == nil {
			return
		}
		if pause == shortestResetPause {
			c.log.Error(err, "The device does not let go of memory; resetting it again until it does")
		}
		time.Sleep(pause)
	}
}
