package server

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// A short Twrite, or a change of a directory, may have to wait for the disk, and nothing tells beforehand. Mostly it does not, and
// then to have another worker read meanwhile costs more than the request. So the worker whose turn it is to read answers it and
// keeps the turn, as if on a lease: when that lasts, a timer hands the turn on in its place.

const (
	// leaseTime is how long a request may hold up the requests behind it, twice that at most.
	leaseTime = 2 * time.Millisecond
	// leasePause is how long after one that did nobody is given a lease: the disk is busy, and all would.
	leasePause = 100 * time.Millisecond
	// leasedWrite is the longest Twrite that is answered so. The copy of a longer one is better made beside the reading.
	leasedWrite = 64 << 10
)

// lease is whose turn it is while a request is being answered. Whoever changes current from a lease's number to 0 has the turn then.
type lease struct {
	last    uint64 // number given; guarded by the turn
	current atomic.Uint64
	seen    atomic.Uint64 // by the timer when it last looked
	armed   atomic.Bool   // the timer is running
	timer   *time.Timer
	paused  atomic.Int64 // until then, since the counters' epoch
}

// begin gives the worker that has the turn a lease, and returns its number.
func (l *lease) begin() uint64 {
	l.last++
	number := l.last // from here on the timer may give the turn, and with it last, to another worker
	l.current.Store(number)
	// The timer is not stopped at a lease's end: to set it may have to wake a thread that waits for events.
	if !l.armed.Swap(true) {
		l.timer.Reset(leaseTime)
	}
	return number
}

// end ends a lease and reports whether the worker still has the turn.
func (l *lease) end(number uint64) bool { return l.current.CompareAndSwap(number, 0) }

// expire is called by the timer. It hands on the turn of a worker that has been under one lease since it last looked.
func (c *conn) expire() {
	l := &c.lease
	l.armed.Store(false) // before the look: a lease that begins after that sets the timer
	number := l.current.Load()
	switch {
	case number == 0:
	case l.seen.Swap(number) != number:
		if !l.armed.Swap(true) {
			l.timer.Reset(leaseTime)
		}
	case l.end(number):
		l.paused.Store(int64(time.Since(c.server.counters.epoch) + leasePause))
		c.handOn()
		c.reading.Unlock()
	}
}

// leasable reports whether a request is to be answered under lease: one about a file of this machine that nothing keeps waiting for
// sure, a short Twrite, or one that opens, makes, changes or removes files.
func (c *conn) leasable(r *request) bool {
	if c.outlet.raw == nil || r.held == 0 || !r.ready() || r.arrived < time.Duration(c.lease.paused.Load()) {
		return false
	}
	f := r.file(0)
	if f == nil || f.xattr != nil || f.medium() == elsewhere {
		return false
	}
	switch r.msg.(type) {
	case nil:
		return r.kind == ninep.TypeTwrite && r.io.count <= leasedWrite && f.open && f.typ == unix.S_IFREG && !f.synced && !f.direct.Load()
	case *ninep.Tlopen:
		return f.typ == unix.S_IFREG || f.typ == unix.S_IFDIR
	case *ninep.Tclunk:
		return !f.locked.Load()
	case *ninep.Tlcreate, *ninep.Tmkdir, *ninep.Tsymlink, *ninep.Tsetattr, *ninep.Tunlinkat, *ninep.Trenameat, *ninep.Tlink, *ninep.Treadlink:
		return true
	}
	return false
}

// answerLeased answers a request and reports whether the worker still has the turn. A worker may end in it, when its thread is
// lost to it, and then gives the turn up.
func (c *conn) answerLeased(r *request) (kept bool) {
	number, returned := c.lease.begin(), false
	defer func() {
		kept = c.lease.end(number)
		if returned {
			return
		}
		if kept {
			c.handOn()
			c.reading.Unlock()
		}
		c.exchange.send()
	}()
	c.run(r) // to the end: the last to close a file that was removed gives its blocks back
	returned = true
	return
}
