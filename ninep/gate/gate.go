// Package gate keeps the requests at one fid in the order in which they came.
package gate

import "sync"

// Gate lets requests at a fid in the order in which they were received: those that only use its state side by side,
// those that change it alone. Places are taken by the connection's reader, which is one at a time, so a request only
// ever waits for requests that were received before it and that are already being worked on: there is no deadlock.
// The zero value is ready.
type Gate struct {
	mu      sync.Mutex
	inside  int  // requests let in and not yet out
	alone   bool // the one inside wants to be alone
	waiting []place
}

type place struct {
	alone bool
	ready chan struct{}
}

// Line takes a place. It returns nil if the request is in at once, else what is closed when its turn has come.
func (g *Gate) Line(alone bool) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 && g.open(alone) {
		g.inside++
		g.alone = alone
		return nil
	}
	p := place{alone: alone, ready: make(chan struct{})}
	g.waiting = append(g.waiting, p)
	return p.ready
}

// Leave gives the place back and lets in whose turn it is.
func (g *Gate) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.alone = false
	for len(g.waiting) > 0 && g.open(g.waiting[0].alone) {
		g.inside++
		g.alone = g.waiting[0].alone
		close(g.waiting[0].ready)
		g.waiting = g.waiting[1:]
	}
	if len(g.waiting) == 0 {
		g.waiting = nil
	}
}

func (g *Gate) open(alone bool) bool {
	return g.inside == 0 || !alone && !g.alone
}
