package fuse

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	// ringSubmissions are what is added at most before the kernel is entered, ringCompletions what it can report at once.
	ringSubmissions = 64
	ringCompletions = 512
	// ringGrowth is how many entries a queue gets when requests that wait have taken some of its own.
	ringGrowth = 8
	// ringIdle is after how many seconds without a request a ring gives the pages of its free payloads back.
	ringIdle = 1
)

// ring serves a connection's queues on a thread of its own, the only one that the kernel lets submit. It takes requests and commits answers,
// which come from any goroutine, and sleeps in io_uring_enter(2).
type ring struct {
	loop    *uringLoop
	dev     int32
	event   int // an eventfd: ends the thread's sleep
	queues  []*ringQueue
	done    chan struct{} // closed when the thread has ended
	started chan error    // gets whether it could make the ring

	asleep atomic.Bool // the thread sleeps, or is about to: who has work for it must wake it
	mu     sync.Mutex
	posted []*ringEntry // answered, to be committed
	tasks  []func()     // to be run on the thread

	// What follows is the thread's.
	uring   *uring
	entries []*ringEntry
	taken   []*ringEntry // posted, when it was taken
	refusal error        // of the first submission that the kernel refused
	busy    bool         // requests were handed out since trim
	quiet   bool         // requests are not handed out any more
	closed  bool
}

// newRing makes the ring of l for the device with that descriptor, with a queue for each CPU.
func newRing(l *uringLoop, dev int32, cpus int) (*ring, error) {
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	g := &ring{loop: l, dev: dev, event: event, done: make(chan struct{}), started: make(chan error, 1)}
	for id := range cpus {
		g.queues = append(g.queues, &ringQueue{id: uint16(id)})
	}
	go g.run()
	if err := <-g.started; err != nil {
		_ = unix.Close(event)
		return nil, err
	}
	return g, nil
}

// run is the thread.
func (g *ring) run() {
	defer close(g.done)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // a thread that ended would take along children that it started (PR_SET_PDEATHSIG)
	var err error
	g.uring, err = newURing(ringSubmissions, ringCompletions)
	g.started <- err
	if err != nil {
		return
	}
	defer g.uring.close()
	g.watch()
	for {
		g.perform()
		if g.closed {
			return
		}
		g.uring.timeout.Sec = 0
		if g.busy {
			g.uring.timeout.Sec = ringIdle
		}
		errno := g.uring.enter(1)
		g.asleep.Store(false)
		switch errno {
		case 0, unix.EINTR, unix.EAGAIN, unix.EBUSY: // EBUSY: completions have to be taken first
			g.reap()
		case unix.ETIME:
			g.trim()
		default:
			g.loop.fail(fmt.Errorf("io_uring_enter: %w", errno))
			return
		}
	}
}

// watch has the eventfd end a sleep.
func (g *ring) watch() {
	g.add(&uringSQE{Opcode: uringOpPollAdd, Fd: int32(g.event), Len: uringPollAddMulti, OpFlags: uringPollIn})
}

// add adds a submission.
func (g *ring) add(s *uringSQE) {
	for !g.uring.room() {
		g.uring.timeout.Sec = 0
		_ = g.uring.enter(0)
	}
	g.uring.add(s)
}

// post has e's answer committed.
func (g *ring) post(e *ringEntry) {
	g.mu.Lock()
	g.posted = append(g.posted, e)
	g.mu.Unlock()
	g.wake()
}

// do has f run on the thread, or drops it when that has ended.
func (g *ring) do(f func()) {
	select {
	case <-g.done:
		return
	default:
	}
	g.mu.Lock()
	g.tasks = append(g.tasks, f)
	g.mu.Unlock()
	g.wake()
}

// call has f run on the thread and waits for it, or for the end of the thread.
func (g *ring) call(f func()) {
	ran := make(chan struct{})
	g.do(func() {
		defer close(ran)
		f()
	})
	select {
	case <-ran:
	case <-g.done:
	}
}

// hush has the thread, which calls it, hand out no more requests. Answers are still committed.
func (g *ring) hush() { g.quiet = true }

// close ends the thread and the ring. What is posted from now on is dropped.
func (g *ring) close() {
	g.do(func() { g.closed = true })
	<-g.done
}

// free is called when nobody can post any more.
func (g *ring) free() { _ = unix.Close(g.event) }

func (g *ring) wake() {
	if g.asleep.Swap(false) {
		notifyEventfd(g.event)
	}
}

// perform does what was posted. When it returns and the ring is not closed, who posts more wakes the thread.
func (g *ring) perform() {
	for !g.closed {
		g.mu.Lock()
		g.taken, g.posted = g.posted, g.taken[:0]
		tasks := g.tasks
		g.tasks = nil
		g.mu.Unlock()
		for _, e := range g.taken {
			g.commit(e)
		}
		for _, f := range tasks {
			f()
		}
		if len(g.taken)+len(tasks) > 0 {
			continue
		}
		if g.asleep.Swap(true) {
			return
		}
	}
}

func (g *ring) commit(e *ringEntry) {
	if e.waits {
		e.queue.waiting--
	}
	e.out, e.waits = false, false
	s := e.commit()
	g.add(&s)
}

// reap hands out the requests that the kernel has completed entries with.
func (g *ring) reap() {
	for {
		c, ok := g.uring.next()
		switch {
		case !ok:
			return
		case c.UserData == 0:
			if c.Flags&uringCQEMore == 0 {
				g.watch()
			}
		case c.Res < 0:
			g.lost(g.entries[c.UserData-1], unix.Errno(-c.Res))
		default:
			g.handOut(g.entries[c.UserData-1])
		}
	}
}

// lost is an entry that gets no request any more: the connection has ended, or the kernel refused it.
func (g *ring) lost(e *ringEntry, errno unix.Errno) {
	e.out = true
	if errno != unix.ENOTCONN && errno != unix.ECONNABORTED && g.refusal == nil {
		g.refusal = errno
		g.loop.conn.log.V(2).Info("The kernel refused an io_uring command of FUSE", "err", errno, "queue", e.queue.id)
	}
}

// handOut passes on the request in e.
func (g *ring) handOut(e *ringEntry) {
	e.commitID, e.out, e.touched, g.busy = e.head.CommitID, true, true, true
	if g.quiet {
		return // it fails when the connection ends, which it does now
	}
	c := g.loop.conn
	r := c.request()
	g.loop.hold()
	err := r.adoptEntry(e)
	if op := r.Opcode(); op != OpRead && op != OpWrite {
		e.waits = true
		e.queue.waiting++
		if e.queue.entries < g.loop.depth+e.queue.waiting {
			g.grow(e.queue, ringGrowth)
		}
	}
	c.dispatch(r, err)
}

// register gives the kernel each queue's first entries. The error is why it does not serve the connection.
func (g *ring) register() error {
	for _, q := range g.queues {
		g.grow(q, g.loop.depth)
	}
	g.uring.timeout.Sec = 0
	if errno := g.uring.enter(0); errno != 0 {
		return fmt.Errorf("io_uring_enter: %w", errno)
	}
	g.reap()
	return g.refusal
}

// grow gives a queue n more entries.
func (g *ring) grow(q *ringQueue, n int) {
	places, err := g.loop.memory.grow(g.loop, n)
	if err != nil {
		g.loop.conn.log.Error(err, "A FUSE queue gets no more entries", "queue", q.id, "entries", q.entries)
		if g.refusal == nil {
			g.refusal = err
		}
		return
	}
	q.entries += n
	for i := range places {
		e := &ringEntry{place: places[i], ring: g, queue: q, number: uint64(len(g.entries) + 1)}
		g.entries = append(g.entries, e)
		s := e.register()
		g.add(&s)
	}
}

// trim gives back the pages of the payloads that no request has. The kernel writes to none of them meanwhile: it does that in
// this thread.
func (g *ring) trim() {
	g.busy = false
	for _, e := range g.entries {
		if e.touched && !e.out {
			g.loop.memory.punch(e.payload)
			e.touched = false
		}
	}
}
