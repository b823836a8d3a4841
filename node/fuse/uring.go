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
// FORGET, INTERRUPT and notifications stay with /dev/fuse, and so does everything until the rings are registered.
//
// A ring has a thread of its own, which sleeps in the kernel; requests are carried out there, and answers from anywhere are
// passed to it. An answer that any thread could commit would be cheaper, but the kernel copies an entry's next request in the
// thread that committed the last, whatever that is doing by then: one that waits for a page which only that request will
// unlock would wait for ever.
type uringLoop struct {
	*deviceLoop
	rings   []*ring
	memory  *ringMemory
	depth   int
	active  atomic.Bool           // the kernel uses the rings
	failure atomic.Pointer[error] // why the loop ended itself
	users   atomic.Int64          // of memory and rings: the loop, requests, and who has taken a payload
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
	cfg := &device.conn.cfg
	for cfg.MaxWrite > minRingPayload && cfg.MaxWrite*ringDepth*cpus > 2*ringBudget {
		cfg.MaxWrite /= 2
	}
	l := &uringLoop{deviceLoop: device, depth: min(ringMaxDepth, max(ringDepth, ringBudget/(cfg.MaxWrite*cpus)))}
	l.users.Store(1)
	if l.memory, err = newRingMemory(cfg.MaxWrite); err != nil {
		return nil, err
	}
	var fd int32
	err = device.raw.Control(func(raw uintptr) { fd = int32(raw) })
	queues := make([]*ringQueue, cpus)
	for i := range queues {
		queues[i] = &ringQueue{id: uint16(i)}
	}
	if err == nil {
		err = l.addRing(fd, queues)
	}
	if err != nil {
		l.closeRings()
		return nil, err
	}
	return l, nil
}

func (l *uringLoop) addRing(dev int32, queues []*ringQueue) error {
	g, err := newRing(l, dev, queues)
	if err != nil {
		return explainRing(err)
	}
	l.rings = append(l.rings, g)
	return nil
}

// negotiated registers the rings with the kernel, which from then on hands requests out there.
func (l *uringLoop) negotiated(flags InitFlags) error {
	err := l.register(flags)
	if err == nil {
		l.active.Store(true)
		return nil
	}
	err = fmt.Errorf("%w: %w", ErrNoIOURing, err)
	if l.conn.cfg.IOURing == IOURingRequire {
		return err
	}
	for _, g := range l.rings {
		g.close() // the kernel has gone back to /dev/fuse
	}
	l.conn.log.Info("FUSE requests go through /dev/fuse", "reason", err.Error())
	return nil
}

func (l *uringLoop) register(flags InitFlags) error {
	if flags&overIOURing == 0 {
		return errors.New("the kernel does not offer it")
	}
	for _, g := range l.rings {
		err := ErrEnded
		g.call(func() { err = g.register() })
		if err != nil {
			return fmt.Errorf("register the queues: %w", err)
		}
	}
	return nil
}

// serve serves until the device says that the connection has ended.
func (l *uringLoop) serve() error {
	err := l.deviceLoop.serve()
	for _, g := range l.rings {
		g.hush()
	}
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

// missed looks for the request among those that a ring has been given and not handed out: its INTERRUPT came the shorter way.
func (l *uringLoop) missed(unique uint64) {
	for _, g := range l.rings {
		g.do(func() { l.conn.interrupt(unique, ErrInterrupted) })
	}
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
	l.closeRings()
	return err
}

func (l *uringLoop) closeRings() {
	for _, g := range l.rings {
		g.close()
	}
	l.release()
}

// hold keeps memory and rings where they are until release.
func (l *uringLoop) hold() { l.users.Add(1) }

func (l *uringLoop) release() {
	if l.users.Add(-1) > 0 {
		return
	}
	l.memory.close()
	for _, g := range l.rings {
		g.free()
	}
}
