package measure

import (
	"context"
	"math"
	"slices"
	"time"
)

// Pairs measures two things against each other, finer than [Plan]: in short slices, in the order a b b a, so that neither
// what drifts nor who comes first makes a difference. A round is these four.
type Pairs struct {
	Rounds int
	Slice  time.Duration
	// CPU is the processor time that everything involved has taken up to now; nil: nobody knows.
	CPU func() (time.Duration, error)
}

// settle is how many rounds are thrown away before the first: they fill caches and grow buffers.
const settle = 2

// Compare measures a and b. An error of either ends it.
func (p Pairs) Compare(ctx context.Context, a, b Slice) (ra, rb *Result, err error) {
	ra, rb = &Result{}, &Result{}
	for round := range p.Rounds + settle {
		both := [2]paired{{slice: a}, {slice: b}}
		for _, turn := range [...]int{0, 1, 1, 0} {
			if err := both[turn].measure(ctx, p); err != nil {
				return nil, nil, err
			}
		}
		if round >= settle {
			ra.take(&both[0])
			rb.take(&both[1])
		}
	}
	ra.summarize()
	rb.summarize()
	return ra, rb, nil
}

// paired is one of two in a round.
type paired struct {
	slice Slice
	did   Sample
	cost  time.Duration
}

func (h *paired) measure(ctx context.Context, p Pairs) error {
	before, err := p.cpu()
	if err != nil {
		return err
	}
	s, err := sample(ctx, h.slice, p.Slice)
	if err != nil {
		return err
	}
	after, err := p.cpu()
	h.did.Operations += s.Operations
	h.did.Bytes += s.Bytes
	h.did.Elapsed += s.Elapsed
	h.did.Latencies.Merge(&s.Latencies)
	h.cost += after - before
	return err
}

func (p *Pairs) cpu() (time.Duration, error) {
	if p.CPU == nil {
		return 0, nil
	}
	return p.CPU()
}

// take adds a round.
func (r *Result) take(h *paired) {
	r.Rates = append(r.Rates, h.did.rate())
	if h.cost > 0 {
		r.Costs = append(r.Costs, float64(h.cost)/float64(h.did.Operations))
	}
	r.latencies.Merge(&h.did.Latencies)
}

// CostRatioOf divides the processor time of b's operations by that of a's, round by round: more than 1 is less for a. Without
// both there is none.
func CostRatioOf(a, b *Result) (Ratio, bool) {
	each := divided(b.Costs, a.Costs)
	return ratioOf(each), len(each) > 0
}

// Interval is where the median of a ratio lies with that much confidence, from 0 to 1, by the order of the rounds' ratios and
// nothing else: whatever their distribution is, there are too few on one side of it otherwise (the sign test). It is not ok after
// too few rounds to say so, and then has all of them.
func (r Ratio) Interval(confidence float64) (low, high float64, ok bool) {
	n := float64(len(r.each))
	if n == 0 {
		return 0, 0, false
	}
	z := math.Sqrt2 * math.Erfinv(confidence)
	k := int(math.Floor((n-z*math.Sqrt(n))/2)) - 1
	ok, k = k >= 0, max(k, 0)
	sorted := slices.Sorted(slices.Values(r.each))
	return sorted[k], sorted[len(sorted)-1-k], ok
}
