// Package usage counts what a directory tree on a 9P server takes, in the
// background and within a budget, for servers that know no quota of a
// directory. A count is as old as its time says and may have missed what moved
// meanwhile; it is for df and for metrics, not for refusing a write.
package usage

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/csi-9p/csi-9p/ninep"
	"k8s.io/klog/v2"
)

// Count is what a tree takes.
type Count struct {
	Bytes  int64     // allocated: st_blocks * 512
	Inodes int64     // files of every kind, the tree's root included
	Time   time.Time // when the count was complete
}

// Options shape a Scanner. Zero fields take the defaults.
type Options struct {
	// Interval is the time between two scans; after one that took longer than a
	// tenth of it, the next comes later, in proportion. Who asks makes it come
	// earlier, so that a small tree's figures are fresh while somebody looks.
	Interval time.Duration // default 5 minutes
	// Budget is the share of the time in which a scan has a message under way;
	// the rest it sleeps. It never has more than one or two.
	Budget float64 // default 0.2
}

// Scanner counts a tree again and again.
type Scanner struct {
	options Options
	root    *ninep.Fid
	latest  atomic.Pointer[result] // never nil
	asked   chan struct{}          // holds one if Last was called since the last scan
	cancel  context.CancelFunc
	done    chan struct{}
}

// result is a complete count, or that there is none yet.
type result struct {
	Count
	took     time.Duration
	outdated chan struct{} // closed when there is a newer one
}

// patience is how long who asks is made to wait for a newer count.
const patience = 50 * time.Millisecond

// freshFor is how long a count is new enough for who asks, so that asking costs
// a server no more than a hundredth of its time.
func (r *result) freshFor() time.Duration { return max(2*patience, 100*r.took) }

// due reports whether a newer count is wanted and will be there soon.
func (r *result) due() bool { return r.took < patience && time.Since(r.Time) >= r.freshFor() }

// Start starts counting the tree at root, at once. root stays the caller's and
// must live until Stop has returned. ctx carries the logger; its end stops the
// scanner as well.
func Start(ctx context.Context, root *ninep.Fid, o Options) *Scanner {
	if o.Interval <= 0 {
		o.Interval = 5 * time.Minute
	}
	if o.Budget <= 0 || o.Budget > 1 {
		o.Budget = 0.2
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &Scanner{options: o, root: root, asked: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{})}
	s.latest.Store(&result{outdated: make(chan struct{})})
	go s.run(ctx)
	return s
}

// Last returns the latest complete count; before the first there is none. A
// small tree is counted anew while the caller waits, a twentieth of a second at
// the most, unless the latest count is fresh.
func (s *Scanner) Last(ctx context.Context) (Count, bool) {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	r := s.latest.Load()
	if r.due() {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-r.outdated:
		case <-timer.C:
		case <-ctx.Done():
		case <-s.done:
		}
		r = s.latest.Load()
	}
	return r.Count, !r.Time.IsZero()
}

// Latest returns the latest complete count and does nothing to make a newer one
// come: for who looks regularly. Its Time is zero before the first.
func (s *Scanner) Latest() Count { return s.latest.Load().Count }

// Stop ends the scanner and waits for that: as long as a server that answers
// nothing has the memory of a directory's entries, until the session loses it or
// is closed.
func (s *Scanner) Stop() {
	s.cancel()
	<-s.done
}

// run scans until ctx ends. A scan that fails leaves the last count as it is.
func (s *Scanner) run(ctx context.Context) {
	defer close(s.done)
	logger := klog.FromContext(ctx)
	for ctx.Err() == nil {
		start := time.Now()
		count, err := scan(ctx, s.root, &pacer{budget: s.options.Budget})
		took := time.Since(start)
		if err == nil {
			before := s.latest.Swap(&result{Count: count, took: took, outdated: make(chan struct{})})
			close(before.outdated)
			logger.V(4).Info("Counted the volume's use", "bytes", count.Bytes, "inodes", count.Inodes, "duration", took.String())
		} else if ctx.Err() == nil {
			logger.V(2).Info("Could not count the volume's use", "reason", err.Error())
		}
		s.rest(ctx)
	}
}

// rest waits for the time of the next scan.
func (s *Scanner) rest(ctx context.Context) {
	r := s.latest.Load()
	regular := time.NewTimer(max(s.options.Interval, 10*r.took))
	defer regular.Stop()
	early := time.NewTimer(r.freshFor())
	defer early.Stop()
	select {
	case <-ctx.Done():
	case <-regular.C:
	case <-early.C:
		select {
		case <-ctx.Done():
		case <-regular.C:
		case <-s.asked:
		}
	}
}

// pacer keeps work within a budget of time.
type pacer struct {
	budget float64
	since  time.Time // when the work since the last rest began
	steps  int
}

// stepsPerRest keeps the timer's cost and granularity out of the measure.
const stepsPerRest = 32

// step rests as long as the work since the last rest asks for, every so often.
func (p *pacer) step(ctx context.Context) error {
	if p.since.IsZero() {
		p.since = time.Now()
	}
	if p.steps++; p.steps%stepsPerRest == 0 {
		worked := time.Since(p.since)
		sleep(ctx, time.Duration(float64(worked)*(1-p.budget)/p.budget))
		p.since = time.Now()
	}
	return ctx.Err()
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
