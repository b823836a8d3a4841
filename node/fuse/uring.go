package fuse

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

const (
	// Each queue has ringDepth entries at first, with fewer CPUs more, so that there are about ringBudget bytes of payload.
	ringDepth    = 8
	ringMaxDepth = 32
	ringBudget   = 64 << 20
	// With many CPUs payloads are smaller, but not smaller than minRingPayload: in all they are not more than twice the budget
	// until there are more than 128.
	minRingPayload = 128 << 10
)

// uringLoop serves a connection by FUSE over io_uring (Documentation/filesystems/fuse/fuse-io-uring.rst, Linux 6.14). INIT,
// FORGET, INTERRUPT and notifications stay with /dev/fuse, and so does everything until the queues are registered.
//
// One ring has all queues. It has a thread of its own, which sleeps in the kernel; requests are carried out there, and answers
// from anywhere are passed to it. An answer that any thread could commit would be cheaper, but the kernel copies an entry's next request in the
// thread that committed the last, whatever that is doing by then: one that waits for a page which only that request will
// unlock would wait for ever.
type uringLoop struct {
	*deviceLoop
	ring    *ring
	memory  *ringMemory
	depth   int                   // of each queue, at first
	failure atomic.Pointer[error] // why the loop ended itself
	users   atomic.Int64          // of memory and ring: the loop, requests, and who has taken a payload
}

// newLoop returns the loop that cfg asks for.
func newLoop(c *Conn, dev *os.File) (loop, error) {
	device, err := newDeviceLoop(c, dev)
	if err != nil || c.cfg.IOURing == IOURingOff {
		return device, err
	}
	l, err := newURingLoop(device)
	switch {
	case err == nil:
		c.cfg.Flags |= overIOURing
		c.cfg.MaxWrite = l.memory.size
		return l, nil
	case c.cfg.IOURing == IOURingRequire:
		return nil, errors.Join(err, device.close())
	}
	c.log.Info("FUSE requests go through /dev/fuse", "reason", err.Error())
	return device, nil
}

func newURingLoop(device *deviceLoop) (*uringLoop, error) {
	if err := kernelHasIOURing(); err != nil {
		return nil, err
	}
	cpus, err := possibleCPUs()
	if err != nil {
		return nil, err
	}
	payload, depth := ringShape(device.conn.cfg.MaxWrite, cpus)
	l := &uringLoop{deviceLoop: device, depth: depth}
	l.users.Store(1)
	if l.memory, err = newRingMemory(payload); err != nil {
		return nil, err
	}
	var fd int32
	err = device.raw.Control(func(raw uintptr) { fd = int32(raw) })
	if err == nil {
		l.ring, err = newRing(l, fd, cpus)
	}
	if err != nil {
		l.memory.close()
		return nil, explainRing(err)
	}
	return l, nil
}

// ringShape returns the largest payload of a request and the entries of each queue.
func ringShape(maxWrite, cpus int) (payload, depth int) {
	for maxWrite > minRingPayload && maxWrite*ringDepth*cpus > 2*ringBudget {
		maxWrite = max(minRingPayload, maxWrite/2)
	}
	return maxWrite, min(ringMaxDepth, max(ringDepth, ringBudget/(maxWrite*cpus)))
}

// negotiated registers the queues with the kernel, which from then on puts requests there. If it refuses them, all goes on
// through /dev/fuse.
func (l *uringLoop) negotiated(flags InitFlags) error {
	err := l.register(flags)
	if err == nil {
		l.conn.counters.ioURing.Store(true)
		l.conn.log.V(1).Info("FUSE requests come by io_uring", "queues", len(l.ring.queues), "depth", l.depth, "maxWrite", l.memory.size)
		return nil
	}
	err = fmt.Errorf("%w: %w", ErrNoIOURing, err)
	if l.conn.cfg.IOURing == IOURingRequire {
		return err
	}
	l.ring.close()
	l.conn.log.Info("FUSE requests go through /dev/fuse", "reason", err.Error())
	return nil
}

func (l *uringLoop) register(flags InitFlags) error {
	if flags&overIOURing == 0 {
		return errors.New("the kernel does not offer it")
	}
	err := ErrEnded
	l.ring.call(func() { err = l.ring.register() })
	if err != nil {
		return fmt.Errorf("register the queues: %w", err)
	}
	return nil
}

// serve serves until the device says that the connection has ended.
func (l *uringLoop) serve() error {
	err := l.deviceLoop.serve()
	l.ring.call(l.ring.hush)
	if failure := l.failure.Load(); failure != nil {
		return cmp.Or(err, *failure)
	}
	return err
}

// fail ends serve.
func (l *uringLoop) fail(err error) {
	l.failure.CompareAndSwap(nil, &err)
	l.stop()
}

// missed looks for the request among those that the ring has been given and not handed out: its INTERRUPT came the shorter way.
func (l *uringLoop) missed(unique uint64) {
	l.ring.do(func() {
		l.ring.reap() // it may have come when answers were submitted, since the thread last looked
		l.conn.interrupt(unique, ErrInterrupted)
	})
}

// reply sends r's answer the way that r came.
func (l *uringLoop) reply(r *Request) {
	e := r.entry
	if e == nil {
		l.deviceLoop.reply(r)
		return
	}
	e.answer(r)
	r.entry, r.buf = nil, nil
	l.release()
}

func (l *uringLoop) close() error {
	err := l.deviceLoop.close()
	l.ring.close()
	l.release()
	return err
}

// hold keeps memory and ring where they are until release.
func (l *uringLoop) hold() { l.users.Add(1) }

func (l *uringLoop) release() {
	if l.users.Add(-1) > 0 {
		return
	}
	l.memory.close()
	l.ring.free()
}
