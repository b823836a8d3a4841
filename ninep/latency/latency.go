// Package latency counts how long things took, in buckets of fixed bounds. To
// count costs two atomic additions, and neither a lock nor an allocation.
package latency

import (
	"sync/atomic"
	"time"
)

// Buckets is the number of buckets: one for each bound, and one for what took
// longer than all of them.
const Buckets = 16

// Bounds are the buckets' upper bounds, ascending, each within its bucket: from
// a round trip to a process on this host to a server that takes half a minute.
var Bounds = [Buckets - 1]time.Duration{
	25 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	100 * time.Millisecond, 500 * time.Millisecond, 2500 * time.Millisecond, 10 * time.Second, 30 * time.Second,
}

// Histogram counts durations. The zero value is ready; it is safe for concurrent
// use.
type Histogram struct {
	sum     atomic.Int64 // nanoseconds
	buckets [Buckets]atomic.Uint64
}

// Observe counts a duration.
func (h *Histogram) Observe(d time.Duration) {
	i := 0
	for i < len(Bounds) && d > Bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

// Snapshot is what a Histogram has counted up to a moment. Durations that are
// counted at that moment may be in one of its fields and not yet in the other.
type Snapshot struct {
	Sum     time.Duration
	Buckets [Buckets]uint64 // each without those before it
}

// Snapshot returns what has been counted.
func (h *Histogram) Snapshot() Snapshot {
	var s Snapshot
	for i := range h.buckets {
		s.Buckets[i] = h.buckets[i].Load()
	}
	s.Sum = time.Duration(h.sum.Load())
	return s
}

// Count is how many durations were counted.
func (s *Snapshot) Count() uint64 {
	var n uint64
	for _, b := range s.Buckets {
		n += b
	}
	return n
}

// Add adds what another Histogram has counted.
func (s *Snapshot) Add(o Snapshot) {
	s.Sum += o.Sum
	for i, b := range o.Buckets {
		s.Buckets[i] += b
	}
}
