package measure

import (
	"math/bits"
	"time"
)

const (
	// fine is how many buckets an octave has: a percentile is off by 1/fine at most.
	fine = 32
	// octaves reach from 1 ns to 18 minutes.
	octaves = 40
)

// Latencies counts how long operations took, in buckets whose width grows with the latency. The zero value is empty. It
// is not safe for concurrent use: each worker has its own, merged at the end.
type Latencies struct {
	counts []uint32
	total  uint64
}

// Add counts one operation.
func (l *Latencies) Add(d time.Duration) {
	if l.counts == nil {
		l.counts = make([]uint32, octaves*fine)
	}
	l.counts[bucket(d)]++
	l.total++
}

// Merge adds what another has counted.
func (l *Latencies) Merge(o *Latencies) {
	if o.total == 0 {
		return
	}
	if l.counts == nil {
		l.counts = make([]uint32, octaves*fine)
	}
	for i, n := range o.counts {
		l.counts[i] += n
	}
	l.total += o.total
}

// Percentiles are latencies in nanoseconds that so many of a hundred operations did not exceed; all 0 if there were none.
type Percentiles struct {
	P50  int64 `json:"p50"`
	P99  int64 `json:"p99"`
	P999 int64 `json:"p999"`
}

// Percentiles of what was counted.
func (l *Latencies) Percentiles() Percentiles {
	return Percentiles{P50: l.percentile(0.5), P99: l.percentile(0.99), P999: l.percentile(0.999)}
}

func (l *Latencies) percentile(q float64) int64 {
	rank := uint64(q * float64(l.total))
	seen := uint64(0)
	for i, n := range l.counts {
		if seen += uint64(n); seen > rank || seen == l.total && n > 0 {
			return upper(i)
		}
	}
	return 0
}

// bucket is where a latency is counted: below 2*fine ns one bucket a nanosecond, then fine buckets an octave.
func bucket(d time.Duration) int {
	n := uint64(max(d, 0))
	if n < 2*fine {
		return int(n)
	}
	shift := bits.Len64(n) - bits.Len64(2*fine-1)
	return min(shift*fine+int(n>>shift), octaves*fine-1)
}

// upper is the largest latency that a bucket counts.
func upper(i int) int64 {
	if i < 2*fine {
		return int64(i)
	}
	shift := i/fine - 1
	return int64(i-shift*fine+1)<<shift - 1
}
