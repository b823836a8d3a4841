package ninefs

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/fuse"
)

const (
	// maxWorkers bounds the requests that wait for the server at once, but for READ and WRITE, which wait without a goroutine.
	maxWorkers = 128
	// warmWorkers wait for more when there is nothing to do, so that lone requests need no new goroutine.
	warmWorkers = 4
	// warmTime is how long they wait at least: a volume that nobody uses has none.
	warmTime = 250 * time.Millisecond
	// maxAppenders are apart, because pages that an append holds locked can be what every worker waits for. So are READs that
	// wait for memory.
	maxAppenders = 16
	// maxLookers are apart as well: GETATTR and STATFS do not wait for a server that cannot be reached, nor for those who do.
	maxLookers = 32
)

// pool runs requests that wait. A queued request whose caller is interrupted is answered at once: a server that hangs must not
// keep a killed process alive.
type pool struct {
	do   func(*fuse.Request)
	most int // workers at once
	warm int // of these stay

	mu      sync.Mutex
	wake    sync.Cond
	queue   []*queued
	workers int
	idle    int
	looking bool // cool is due
	used    bool // since it last looked
	cold    bool // workers that wait are not needed any more
	closed  bool
	ended   sync.WaitGroup
}

// queued is a request, or what is left to do after one, that waits for a worker. Whoever sets taken answers it.
type queued struct {
	r     *fuse.Request
	rest  func()
	taken atomic.Bool
}

func newPool(do func(*fuse.Request), most, warm int) *pool {
	p := &pool{do: do, most: most, warm: warm}
	p.wake.L = &p.mu
	return p
}

// submit has a worker run a request. It does not block.
func (p *pool) submit(r *fuse.Request) { p.push(&queued{r: r}) }

// post has a worker call rest. It returns false when the pool is closed, and drops rest. It does not block.
func (p *pool) post(rest func()) bool { return p.push(&queued{rest: rest}) }

// push reports whether q is queued.
func (p *pool) push(q *queued) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used, p.cold = true, false
	switch {
	case p.closed && q.r != nil:
		q.r.ReplyError(unix.EIO)
		return false
	case p.closed:
		return false
	case p.idle > len(p.queue):
		p.wake.Signal()
	case p.workers < p.most:
		p.workers++
		p.ended.Add(1)
		go p.work()
	case q.r != nil && !q.r.OnInterrupt(q.giveUp):
		q.giveUp()
	}
	p.queue = append(p.queue, q)
	return true
}

// giveUp is called when the caller is interrupted.
func (q *queued) giveUp() {
	time.AfterFunc(grace, func() {
		if q.taken.CompareAndSwap(false, true) {
			q.r.ReplyError(unix.EINTR)
		}
	})
}

// close waits until every worker has ended, which is when nothing is queued any more.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.wake.Broadcast()
	p.mu.Unlock()
	p.ended.Wait()
}

func (p *pool) work() {
	defer p.ended.Done()
	for {
		q := p.next()
		if q == nil {
			return
		}
		switch {
		case !q.taken.CompareAndSwap(false, true):
		case q.r != nil:
			p.do(q.r)
		default:
			q.rest()
		}
	}
}

// next returns the next request, or nil when the worker is not needed any more.
func (p *pool) next() *queued {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) == 0 {
		if p.closed || p.cold || p.idle >= p.warm {
			p.workers--
			return nil
		}
		if !p.looking {
			p.looking = true
			time.AfterFunc(warmTime, p.cool)
		}
		p.idle++
		p.wake.Wait()
		p.idle--
	}
	q := p.queue[0]
	p.queue[0] = nil
	p.queue = p.queue[1:]
	return q
}

// cool ends the workers that wait when there has been nothing to do since it last looked.
func (p *pool) cool() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.looking = p.used && !p.closed; p.looking {
		p.used = false
		time.AfterFunc(warmTime, p.cool)
		return
	}
	p.cold = true
	p.wake.Broadcast()
}
