package ninefs

import (
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
)

// To have a worker carry out a request that waits for the server costs more than all else about it: two goroutines have to be
// woken for each reply, and the threads to run them, on another processor as a rule. So most operations are run as coroutines.
// The goroutine that read the request runs it until it waits for the server, and the one that the reply comes in on runs it
// from there.

const (
	// maxStrands is how many there are at once; the requests of more callers go to workers.
	maxStrands = 128
	// warmStrands are kept for more requests as warmWorkers are.
	warmStrands = 4
)

// strands runs requests as coroutines.
type strands struct {
	do func(*strand)

	mu      sync.Mutex
	idle    []*strand
	running int
	looking bool // cool is due
	used    bool // since it last looked
	closed  bool
	ended   sync.WaitGroup
}

// strand is one coroutine. It is a [ninep.Strand].
type strand struct {
	of    *strands
	r     *fuse.Request
	next  func() (struct{}, bool) // runs it until it yields
	stop  func()
	yield func(struct{}) bool
	done  bool // yielded at the end of a request
	left  bool // runs on a goroutine of its own
	state atomic.Uint32
}

// States of a strand.
const (
	strandIdle    uint32 = iota // it has no request: whoever wakes it is late
	strandRunning               // somebody runs it
	strandWoken                 // so, and what it is about to wait for has come
	strandParked                // whoever wakes it runs it
)

// start runs a request up to where it waits, or reports that somebody else has to.
func (p *strands) start(r *fuse.Request) bool {
	s := p.take()
	if s == nil {
		return false
	}
	s.r, s.done, s.left = r, false, false
	s.state.Store(strandRunning)
	s.run()
	return true
}

func (p *strands) take() *strand {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.running == maxStrands {
		return nil
	}
	p.running++
	p.ended.Add(1)
	p.used = true
	if n := len(p.idle); n > 0 {
		s := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return s
	}
	s := &strand{of: p}
	s.next, s.stop = iter.Pull(s.loop)
	return s
}

// put takes a strand back whose request is answered.
func (p *strands) put(s *strand) {
	defer p.ended.Done()
	p.mu.Lock()
	p.running--
	keep := !p.closed && len(p.idle) < warmStrands
	if keep {
		p.idle = append(p.idle, s)
		if !p.looking {
			p.looking = true
			time.AfterFunc(warmTime, p.cool)
		}
	}
	p.mu.Unlock()
	if !keep {
		s.stop()
	}
}

// cool ends the strands that wait when there has been nothing to do since it last looked.
func (p *strands) cool() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.looking = p.used && !p.closed; p.looking {
		p.used = false
		time.AfterFunc(warmTime, p.cool)
		return
	}
	for _, s := range p.idle {
		s.stop()
	}
	p.idle = nil
}

// close waits until every strand has ended.
func (p *strands) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.ended.Wait()
	p.cool()
}

// loop is the coroutine.
func (s *strand) loop(yield func(struct{}) bool) {
	s.yield = yield
	for {
		s.of.do(s)
		s.done = true
		if !yield(struct{}{}) {
			return
		}
	}
}

// run runs the strand until it waits or its request is answered.
func (s *strand) run() {
	for {
		s.next()
		switch {
		case s.done:
			s.r = nil
			s.state.Store(strandIdle)
			s.of.put(s)
			return
		case s.left:
			go s.run()
			return
		case s.state.CompareAndSwap(strandRunning, strandParked):
			return
		}
		s.state.Store(strandRunning)
	}
}

// Park implements [ninep.Strand].
func (s *strand) Park() {
	if !s.state.CompareAndSwap(strandWoken, strandRunning) {
		s.yield(struct{}{})
	}
}

// Unpark implements [ninep.Strand].
func (s *strand) Unpark() {
	for {
		switch s.state.Load() {
		case strandRunning:
			if s.state.CompareAndSwap(strandRunning, strandWoken) {
				return
			}
		case strandParked:
			if !s.state.CompareAndSwap(strandParked, strandRunning) {
				continue
			}
			s.run()
			return
		default:
			return
		}
	}
}

// Leave implements [ninep.Strand].
func (s *strand) Leave() {
	if !s.left {
		s.left = true
		s.yield(struct{}{})
	}
}

// Left implements [ninep.Strand].
func (s *strand) Left() bool { return s.left }

var _ ninep.Strand = (*strand)(nil)
