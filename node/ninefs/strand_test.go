package ninefs

import (
	"sync"
	"sync/atomic"
	"testing"
)

// TestStrand: it runs with whoever starts it up to where it waits and with whoever wakes it from there, and apart from both once it
// has left. Who wakes it for nothing or late does no harm.
func TestStrand(t *testing.T) {
	var p strands
	var woken atomic.Bool
	var one *strand
	begun, wakes, let, left := 0, 0, make(chan struct{}), false
	p.do = func(s *strand) {
		one = s
		for begun++; !woken.Load(); wakes++ {
			s.Park()
		}
		s.Leave()
		<-let
		left = s.Left()
	}
	if !p.start(nil) || begun != 1 {
		t.Fatalf("begun %d times", begun)
	}
	one.Unpark()
	woken.Store(true)
	one.Unpark()
	if wakes != 2 {
		t.Errorf("went on %d times, want 2", wakes)
	}
	close(let)
	p.close()
	if !left {
		t.Error("it has left and does not know it")
	}
	one.Unpark()
	if p.start(nil) {
		t.Error("begun after the end")
	}
}

// TestStrandsFull: there are only so many, and those that ended make room.
func TestStrandsFull(t *testing.T) {
	var p strands
	var all []*strand
	var over atomic.Bool
	p.do = func(s *strand) {
		for all = append(all, s); !over.Load(); {
			s.Park()
		}
	}
	for range maxStrands {
		if !p.start(nil) {
			t.Fatal("refused")
		}
	}
	if p.start(nil) {
		t.Error("one too many")
	}
	over.Store(true)
	for _, s := range all {
		s.Unpark()
	}
	if len(p.idle) != warmStrands {
		t.Errorf("%d are kept, want %d", len(p.idle), warmStrands)
	}
	if !p.start(nil) {
		t.Error("no room")
	}
	p.close()
}

// TestStrandRaces: no wake is lost, whenever it comes, and none runs a strand that somebody else runs.
func TestStrandRaces(t *testing.T) {
	var p strands
	const rounds = 200
	p.do = func(s *strand) {
		var wakers sync.WaitGroup
		for range rounds {
			var came atomic.Int32
			for range 3 {
				wakers.Go(func() {
					came.Add(1)
					s.Unpark()
				})
			}
			for came.Load() < 3 {
				s.Park()
			}
		}
		s.Leave()
		wakers.Wait()
	}
	for range 20 {
		if !p.start(nil) {
			t.Fatal("refused")
		}
	}
	p.close()
}
