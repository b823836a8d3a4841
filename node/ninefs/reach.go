package ninefs

import (
	"context"
	"errors"
	"sync"
	"time"
)

// lookOut is the time between questions whether the server can still be reached.
const lookOut = 500 * time.Millisecond

// errUnreachable ends a wait for a server that cannot be reached.
var errUnreachable = errors.New("ninefs: the server cannot be reached")

// reach tells those who wait for the server and can do without it that it cannot be reached.
type reach struct {
	lost func() bool // nil: nobody knows, and all wait

	mu      sync.Mutex
	waiting map[waitsForServer]struct{}
	timer   *time.Timer // nil while it is not running
}

// waitsForServer is whom reach tells.
type waitsForServer interface {
	keep()        // unreachable is to be called; called with reach.mu held
	unreachable() // the server cannot be reached; called once, and not any more after remove unless keep was called before
}

func (p *reach) add(w waitsForServer) {
	if p.lost == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil {
		p.waiting = map[waitsForServer]struct{}{}
	}
	p.waiting[w] = struct{}{}
	if p.timer == nil {
		p.timer = time.AfterFunc(lookOut, p.look)
	}
}

func (p *reach) remove(w waitsForServer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, w)
}

func (p *reach) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
}

// look asks whether the server can be reached, as long as anybody waits for it.
func (p *reach) look() {
	lost := p.lost()
	var told []waitsForServer
	p.mu.Lock()
	if len(p.waiting) == 0 {
		p.timer = nil
		p.mu.Unlock()
		return
	}
	p.timer.Reset(lookOut)
	if lost {
		for w := range p.waiting {
			w.keep()
			told = append(told, w)
		}
		clear(p.waiting)
	}
	p.mu.Unlock()
	for _, w := range told {
		w.unreachable()
	}
}

func (fs *FS) unreachable() bool { return fs.reach.lost != nil && fs.reach.lost() }

// reachableContext is a context that waits for the server.
type reachableContext struct{ cancel context.CancelCauseFunc }

func (*reachableContext) keep()          {}
func (c *reachableContext) unreachable() { c.cancel(errUnreachable) }

// whileReachable returns a context that ends by errUnreachable when the server cannot be reached. done must be called.
func (fs *FS) whileReachable(ctx context.Context) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	if fs.unreachable() {
		cancel(errUnreachable)
	}
	c := &reachableContext{cancel}
	fs.reach.add(c)
	return ctx, func() {
		fs.reach.remove(c)
		cancel(nil)
	}
}
