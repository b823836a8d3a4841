package latency_test

import (
	"slices"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/ninep/latency"
)

func TestBoundsAscend(t *testing.T) {
	if !slices.IsSorted(latency.Bounds[:]) {
		t.Error(latency.Bounds)
	}
}

// A duration counts in the first bucket whose bound it does not exceed.
func TestObserve(t *testing.T) {
	last := latency.Bounds[len(latency.Bounds)-1]
	for _, c := range []struct {
		d      time.Duration
		bucket int
	}{
		{-time.Second, 0}, {0, 0}, {latency.Bounds[0], 0}, {latency.Bounds[0] + 1, 1},
		{latency.Bounds[7], 7}, {last, latency.Buckets - 2}, {last + 1, latency.Buckets - 1}, {time.Hour, latency.Buckets - 1},
	} {
		var h latency.Histogram
		h.Observe(c.d)
		s := h.Snapshot()
		if s.Buckets[c.bucket] != 1 || s.Count() != 1 || s.Sum != c.d {
			t.Errorf("%v: %+v", c.d, s)
		}
	}
}

func TestAdd(t *testing.T) {
	var a, b latency.Histogram
	a.Observe(time.Millisecond)
	b.Observe(time.Millisecond)
	b.Observe(time.Hour)
	sum := a.Snapshot()
	sum.Add(b.Snapshot())
	if sum.Count() != 3 || sum.Sum != time.Hour+2*time.Millisecond || sum.Buckets[latency.Buckets-1] != 1 {
		t.Errorf("%+v", sum)
	}
}

func TestObserveAllocatesNothing(t *testing.T) {
	var h latency.Histogram
	if n := testing.AllocsPerRun(100, func() { h.Observe(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	var h latency.Histogram
	for b.Loop() {
		h.Observe(80 * time.Microsecond)
	}
}
