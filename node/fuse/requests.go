package fuse

import (
	"slices"
	"sync"
	"time"
)

const (
	// keptRequests is how many requests a connection has the memory of, however little there is to do.
	keptRequests = 4
	// unusedFor is for how long others are not needed at least before their memory is given up.
	unusedFor = 250 * time.Millisecond
)

// requests are those of a connection, which are used again.
type requests struct {
	mu sync.Mutex
	// all is walked without the lock: it is appended to or replaced.
	all     []*Request
	free    []*Request // the last one is used first
	unused  int        // so many were free all the time since shed looked
	looking bool       // shed is due
}

// request returns a request without content.
func (c *Conn) request() *Request {
	p := &c.requests
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		r := p.free[n-1]
		p.free = p.free[:n-1]
		p.unused = min(p.unused, n-1)
		return r
	}
	r := newRequest(c)
	p.all = append(p.all, r)
	p.unused = 0
	p.look()
	return r
}

func (p *requests) recycle(r *Request) {
	p.mu.Lock()
	p.free = append(p.free, r)
	p.mu.Unlock()
}

// list returns all requests.
func (p *requests) list() []*Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all
}

// look has shed look, where there is something to shed. The caller holds p.mu.
func (p *requests) look() {
	if !p.looking && len(p.all) > keptRequests {
		p.looking = true
		time.AfterFunc(unusedFor, p.shed)
	}
}

// shed gives up requests that were not needed since it last looked.
func (p *requests) shed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := min(p.unused, len(p.all)-keptRequests); n > 0 {
		unused := p.free[:n]
		p.all = slices.DeleteFunc(slices.Clone(p.all), func(r *Request) bool { return slices.Contains(unused, r) })
		p.free = slices.Clone(p.free[n:])
	}
	p.unused, p.looking = len(p.free), false
	p.look()
}
