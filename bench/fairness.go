package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/csi-9p/csi-9p/bench/measure"
	"github.com/csi-9p/csi-9p/bench/report"
	"github.com/csi-9p/csi-9p/bench/work"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
)

// volumeFlow is what a volume may have in flight unless it is told otherwise (maxInFlight).
const volumeFlow = 16 << 20

// fairness is what a volume's small reads suffer from a neighbour that reads as fast as it can: from one on the same
// session, and, for comparison, from one on another session, which shares no more than the machine and the server.
func (s *suite) fairness() section {
	return section{
		title: "Fairness", latency: true, columns: s.neighbours,
		rows: []row{{name: "read, random 4 KiB, 1 in flight", unit: report.Bytes, open: func(_ context.Context, at subject) func() (*work.Work, error) {
			return at.open
		}}},
	}
}

// neighbours makes the sessions and the columns.
func (s *suite) neighbours(ctx context.Context, m *made) error {
	var roots []*ninep.Fid
	for range 2 {
		session, aname, err := connect(ctx, s.url, dial.Options{})
		if err != nil {
			return err
		}
		m.ends = append(m.ends, session.Close)
		for range 2 {
			root, err := session.Attach(ctx, ninep.AttachOptions{Aname: aname, Flow: transport.NewFlow(volumeFlow)})
			if err != nil {
				return err
			}
			roots = append(roots, root)
		}
	}
	add := func(name string, stream *ninep.Fid) {
		m.add(subject{Baseline: Baseline{Name: name}, open: func() (*work.Work, error) { return s.beside(ctx, roots[0], stream) }})
	}
	add("alone", nil)
	add("a neighbour streams", roots[1])
	add("one on another session streams", roots[2])
	return nil
}

// beside is small reads below one root while there are large ones below the other; nil: there are none.
func (s *suite) beside(ctx context.Context, root, stream *ninep.Fid) (*work.Work, error) {
	name := fmt.Sprintf("csi-9p-bench-%d-%p", os.Getpid(), stream)
	small, err := work.Client{Root: root, Name: name, Shape: work.Shape{Random: true, Size: 4 << 10, InFlight: 1, Area: s.Area}}.Open(ctx)
	if err != nil || stream == nil {
		return small, err
	}
	large, err := work.Client{Root: stream, Name: name + "-stream", Shape: work.Shape{Size: 1 << 20, InFlight: 16, Area: s.Area}}.Open(ctx)
	if err != nil {
		return nil, errors.Join(err, small.Close())
	}
	slice := func(ctx context.Context, length time.Duration) (measure.Sample, error) {
		ctx, cancel := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() {
			_, err := large.Slice(ctx, math.MaxInt64)
			ended <- err
		}()
		sample, err := small.Slice(ctx, length)
		cancel()
		return sample, errors.Join(err, <-ended)
	}
	return &work.Work{Slice: slice, Close: func() error { return errors.Join(small.Close(), large.Close()) }}, nil
}
