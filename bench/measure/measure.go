// Package measure turns work into numbers that can be compared on a machine that is not quiet: what is compared runs in
// turns, a short slice each, round after round, so that whatever disturbs one disturbs all; medians leave the outliers
// out, and ratios are taken round by round.
package measure

import (
	"context"
	"fmt"
	"time"
)

// Sample is what one slice of work did.
type Sample struct {
	Operations int64
	Bytes      int64 // of payload; 0: the work is counted in operations
	Elapsed    time.Duration
	Latencies  Latencies // of the operations
}

// rate is bytes a second, or operations a second where there are no bytes.
func (s *Sample) rate() float64 {
	amount := s.Bytes
	if amount == 0 {
		amount = s.Operations
	}
	return float64(amount) / s.Elapsed.Seconds()
}

// Slice does a piece of work that lasts about as long as it is told, and at least one operation. What it does before and
// after its clock runs is not counted.
type Slice func(ctx context.Context, length time.Duration) (Sample, error)

// Plan is how often and how long each of the things compared is measured.
type Plan struct {
	Rounds int
	Slice  time.Duration
	Round  func(round int) // unless nil, told of the beginning of each, from 1 on
}

// Compare measures the slices in turns; those that are nil have no result. One that fails is measured no more, and its result
// has the error. One more round before the first is thrown away: it fills caches and grows buffers.
func (p Plan) Compare(ctx context.Context, slices []Slice) []*Result {
	results := make([]*Result, len(slices))
	for round := 0; round <= p.Rounds; round++ {
		length := p.Slice
		if round == 0 {
			length /= 4
		}
		if p.Round != nil {
			p.Round(max(round, 1))
		}
		for turn := range slices {
			i := (turn + round) % len(slices) // nobody is always first after the same neighbour's pause
			if slices[i] == nil {
				continue
			}
			if results[i] == nil {
				results[i] = &Result{}
			}
			if results[i].Err == nil {
				results[i].Err = results[i].measure(ctx, slices[i], length, round > 0)
			}
		}
	}
	for _, r := range results {
		if r != nil {
			r.summarize()
		}
	}
	return results
}

// Result is what the rounds of one thing gave.
type Result struct {
	Rates   []float64   `json:"rates"`                    // of each round: bytes or operations a second
	Costs   []float64   `json:"cpuNanoseconds,omitempty"` // of each round: processor time of an operation
	Median  float64     `json:"median"`
	Low     float64     `json:"low"` // the quartiles
	High    float64     `json:"high"`
	Latency Percentiles `json:"latencyNanoseconds,omitzero"`
	Err     error       `json:"-"` // why it was not measured to the end

	latencies Latencies
}

func (r *Result) measure(ctx context.Context, slice Slice, length time.Duration, counts bool) error {
	s, err := sample(ctx, slice, length)
	if err == nil && counts {
		r.Rates = append(r.Rates, s.rate())
		r.latencies.Merge(&s.Latencies)
	}
	return err
}

// sample measures one slice.
func sample(ctx context.Context, slice Slice, length time.Duration) (Sample, error) {
	if ctx.Err() != nil {
		return Sample{}, context.Cause(ctx)
	}
	s, err := slice(ctx, length)
	if err == nil && (s.Operations == 0 || s.Elapsed <= 0) {
		err = fmt.Errorf("%d operations in %v measure nothing", s.Operations, s.Elapsed)
	}
	return s, err
}

func (r *Result) summarize() {
	r.Median, r.Low, r.High = Quantile(r.Rates, 0.5), Quantile(r.Rates, 0.25), Quantile(r.Rates, 0.75)
	r.Latency = r.latencies.Percentiles()
}

// Spread is half the distance of the quartiles, as a part of the median.
func (r *Result) Spread() float64 { return (r.High - r.Low) / 2 / r.Median }

// Ratio compares two results that were measured in the same rounds.
type Ratio struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"` // the quartiles
	High   float64 `json:"high"`

	each []float64 // of the rounds
}

// RatioOf divides a by b, round by round.
func RatioOf(a, b *Result) Ratio { return ratioOf(divided(a.Rates, b.Rates)) }

func divided(a, b []float64) []float64 {
	each := make([]float64, min(len(a), len(b)))
	for i := range each {
		each[i] = a[i] / b[i]
	}
	return each
}

func ratioOf(each []float64) Ratio {
	return Ratio{Median: Quantile(each, 0.5), Low: Quantile(each, 0.25), High: Quantile(each, 0.75), each: each}
}
