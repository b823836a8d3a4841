package measure_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/bench/measure"
)

func TestQuantile(t *testing.T) {
	for _, test := range []struct {
		values []float64
		q      float64
		want   float64
	}{
		{nil, 0.5, 0},
		{[]float64{7}, 0.25, 7},
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{4, 1, 2, 3}, 0.5, 2.5},
		{[]float64{5, 4, 3, 2, 1}, 0.25, 2},
		{[]float64{5, 4, 3, 2, 1}, 0.75, 4},
		{[]float64{1, 2}, 1, 2},
		{[]float64{1, 2}, 0, 1},
	} {
		if got := measure.Quantile(test.values, test.q); got != test.want {
			t.Errorf("quantile %v of %v is %v, want %v", test.q, test.values, got, test.want)
		}
	}
}

func TestPercentiles(t *testing.T) {
	uniform, twoKinds := []time.Duration{}, []time.Duration{}
	for i := range 10000 {
		uniform = append(uniform, time.Duration(i)*time.Microsecond)
		twoKinds = append(twoKinds, 10*time.Microsecond)
		if i%100 < 2 {
			twoKinds[i] = 2 * time.Second
		}
	}
	for name, test := range map[string]struct {
		latencies []time.Duration
		want      [3]time.Duration
	}{
		"none":            {nil, [3]time.Duration{}},
		"one":             {[]time.Duration{time.Millisecond}, [3]time.Duration{time.Millisecond, time.Millisecond, time.Millisecond}},
		"nanoseconds":     {[]time.Duration{-1, 1, 2, 3}, [3]time.Duration{2, 3, 3}},
		"uniform":         {uniform, [3]time.Duration{5 * time.Millisecond, 9900 * time.Microsecond, 9990 * time.Microsecond}},
		"two kinds":       {twoKinds, [3]time.Duration{10 * time.Microsecond, 2 * time.Second, 2 * time.Second}},
		"longer than any": {[]time.Duration{math.MaxInt64}, [3]time.Duration{1 << 45, 1 << 45, 1 << 45}},
	} {
		t.Run(name, func(t *testing.T) {
			var parts [3]measure.Latencies
			rand.Shuffle(len(test.latencies), func(i, j int) {
				test.latencies[i], test.latencies[j] = test.latencies[j], test.latencies[i]
			})
			for i, d := range test.latencies {
				parts[i%3].Add(d)
			}
			parts[0].Merge(&parts[1])
			parts[0].Merge(&parts[2])
			p := parts[0].Percentiles()
			for i, got := range []int64{p.P50, p.P99, p.P999} {
				want := int64(test.want[i])
				if want == 1<<45 { // the last bucket is open
					if got < want/64 {
						t.Errorf("%v", time.Duration(got))
					}
				} else if got < want || float64(got) > float64(want)*(1+1.0/32) {
					t.Errorf("percentile %d is %v, want %v", i, time.Duration(got), time.Duration(want))
				}
			}
		})
	}
}

// pace is a slice of work at rates given round by round.
func pace(log *[]string, name string, rates ...int64) measure.Slice {
	round := 0
	return func(_ context.Context, length time.Duration) (measure.Sample, error) {
		*log = append(*log, name)
		s := measure.Sample{Operations: 1, Bytes: rates[round], Elapsed: time.Second}
		s.Latencies.Add(length)
		round++
		return s, nil
	}
}

func TestCompareTakesTurns(t *testing.T) {
	var log []string
	var rounds []int
	plan := measure.Plan{Rounds: 3, Slice: time.Second, Round: func(n int) { rounds = append(rounds, n) }}
	results := plan.Compare(t.Context(), []measure.Slice{
		pace(&log, "a", 1000, 10, 30, 20), nil, pace(&log, "b", 1, 20, 20, 20),
	})
	if got := strings.Join(log, ""); got != "abbabaab" {
		t.Errorf("turns %s", got)
	}
	if !slices.Equal(rounds, []int{1, 1, 2, 3}) {
		t.Errorf("rounds %v", rounds)
	}
	a, b := results[0], results[2]
	if results[1] != nil || a.Median != 20 || a.Low != 15 || a.High != 25 || a.Spread() != 0.25 || b.Spread() != 0 {
		t.Errorf("results %+v %+v", a, b)
	}
	if got := measure.RatioOf(a, b); got.Median != 1 || got.Low != 0.75 || got.High != 1.25 {
		t.Errorf("ratio %+v", got)
	}
	if p := a.Latency.P50; p < int64(time.Second) || p > int64(time.Second)*33/32 {
		t.Errorf("the round that does not count is in the latencies: %v", time.Duration(p))
	}
}

func TestCompareEnds(t *testing.T) {
	broken := errors.New("broken")
	ctx, cancel := context.WithCancelCause(t.Context())
	for name, test := range map[string]struct {
		slice measure.Slice
		want  string
	}{
		"error":   {func(context.Context, time.Duration) (measure.Sample, error) { return measure.Sample{}, broken }, "broken"},
		"no work": {func(context.Context, time.Duration) (measure.Sample, error) { return measure.Sample{}, nil }, "measure nothing"},
		"cancelled": {func(context.Context, time.Duration) (measure.Sample, error) {
			cancel(errors.New("enough"))
			return measure.Sample{Operations: 1, Elapsed: 1}, nil
		}, "enough"},
	} {
		var log []string
		results := (measure.Plan{Rounds: 1}).Compare(ctx, []measure.Slice{test.slice, pace(&log, "other", 1, 1)})
		if err := results[0].Err; err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want ...%s", name, err, test.want)
		}
		if other := results[1]; ctx.Err() == nil && (other.Err != nil || other.Median != 1) {
			t.Errorf("%s: the other one: %+v", name, other)
		}
		ctx, cancel = context.WithCancelCause(t.Context())
	}
	cancel(nil)
}

func TestPairs(t *testing.T) {
	var log []string
	spent := time.Duration(0)
	// The first two rounds do not count: four slices of each.
	rates := func(of func(i int64) int64) (all []int64) {
		for i := range int64(2 * 102) {
			all = append(all, of(i/2))
		}
		return all
	}
	costly := func(slice measure.Slice, cost time.Duration) measure.Slice {
		return func(ctx context.Context, length time.Duration) (measure.Sample, error) {
			spent += cost
			return slice(ctx, length)
		}
	}
	a, b, err := measure.Pairs{Rounds: 100, Slice: time.Second, CPU: func() (time.Duration, error) { return spent, nil }}.Compare(t.Context(),
		costly(pace(&log, "a", rates(func(i int64) int64 { return 1000 + i })...), 30*time.Millisecond),
		costly(pace(&log, "b", rates(func(int64) int64 { return 1000 })...), 15*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(log[:8], ""); got != "abbaabba" || len(a.Rates) != 100 || a.Rates[0] != 1002 {
		t.Errorf("turns %s, rates %v", got, a.Rates)
	}
	r := measure.RatioOf(a, b)
	low, high, ok := r.Interval(0.95)
	if !ok || low < 1.038 || low > 1.042 || high < 1.061 || high > 1.065 || r.Median < low || r.Median > high {
		t.Errorf("median %v of 1.002 to 1.101, in %v to %v, %v", r.Median, low, high, ok)
	}
	if cost, ok := measure.CostRatioOf(a, b); !ok || cost.Median != 0.5 {
		t.Errorf("%+v of the cost", cost)
	}
	a, b, err = measure.Pairs{Rounds: 2, Slice: time.Second}.Compare(t.Context(), pace(&log, "a", 9, 9, 9, 9, 1, 2, 3, 4), pace(&log, "b", 9, 9, 9, 9, 1, 1, 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	if low, high, ok := measure.RatioOf(a, b).Interval(0.95); ok || low != 1.5 || high != 3.5 {
		t.Errorf("two rounds give %v to %v, %v", low, high, ok)
	}
	if _, ok := measure.CostRatioOf(a, b); ok {
		t.Error("costs without a clock")
	}
	broken := errors.New("broken")
	fails := func(context.Context, time.Duration) (measure.Sample, error) { return measure.Sample{}, broken }
	if _, _, err := (measure.Pairs{Rounds: 1}).Compare(t.Context(), pace(&log, "a", 1), fails); !errors.Is(err, broken) {
		t.Errorf("a failure is %v", err)
	}
}
