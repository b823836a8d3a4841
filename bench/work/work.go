// Package work is what the bench has done to the things that it measures: reads and writes, metadata and small-file
// trees on a directory, reads and writes by the 9P client alone, and the plain copy of as many bytes over a socket.
//
// Files are used by raw system calls: an os.File is polled, which a FUSE mount answers with a system call more.
// Nothing is verified but that calls succeed and are not short.
package work

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/bench/measure"
)

// Work is one kind of work on one thing, with the files that it needs.
type Work struct {
	Slice measure.Slice
	Close func() error // removes the files
}

// Shape says what reads or writes are made.
type Shape struct {
	Write    bool
	Random   bool  // else one after the other, from the beginning again at the end
	Size     int   // bytes of each
	InFlight int   // how many at a time; 0: one
	Area     int64 // bytes of the file that are read or written
}

// blocks is how many blocks the area has.
func (s Shape) blocks() int64 { return max(s.Area/int64(s.Size), 1) }

// steps hands out offsets to the workers of one slice.
type steps struct {
	shape Shape
	next  atomic.Int64
}

// source returns a worker's own way to ask for the next offset.
func (s *steps) source(worker int) func() int64 {
	size, blocks := int64(s.shape.Size), s.shape.blocks()
	if s.shape.Random {
		dice := rand.New(rand.NewPCG(uint64(worker), 1))
		return func() int64 { return dice.Int64N(blocks) * size }
	}
	return func() int64 { return (s.next.Add(1) - 1) % blocks * size }
}

// call is one read or write by one worker, of a block at an offset.
type call func(worker int, offset int64) error

// slice makes calls by as many workers as the shape has in flight. Sequential work goes on where the last slice ended.
func (s Shape) slice(call call) measure.Slice {
	offsets := &steps{shape: s}
	return func(ctx context.Context, length time.Duration) (measure.Sample, error) {
		return workers(ctx, max(s.InFlight, 1), length, int64(s.Size), func(worker int) func() error {
			next := offsets.source(worker)
			return func() error { return call(worker, next()) }
		})
	}
}

// workers has n goroutines repeat what start gives each, until the time is up, and counts and times it.
func workers(ctx context.Context, n int, length time.Duration, bytes int64, start func(worker int) func() error) (measure.Sample, error) {
	var total measure.Sample
	var mu sync.Mutex
	var tasks errgroup.Group
	begin := time.Now()
	for worker := range n {
		tasks.Go(func() error {
			var mine measure.Sample
			operation := start(worker)
			for now := time.Now(); mine.Operations == 0 || now.Sub(begin) < length && ctx.Err() == nil; {
				if err := operation(); err != nil {
					return err
				}
				done := time.Now()
				mine.Latencies.Add(done.Sub(now))
				mine.Operations++
				now = done
			}
			mu.Lock()
			defer mu.Unlock()
			total.Operations += mine.Operations
			total.Latencies.Merge(&mine.Latencies)
			return nil
		})
	}
	err := tasks.Wait()
	total.Elapsed = time.Since(begin)
	total.Bytes = total.Operations * bytes
	return total, err
}

// whole checks that a read or write was not short.
func whole(what string, n, want int, err error) error {
	if err == nil && n != want {
		err = unix.EIO
	}
	if err != nil {
		return fmt.Errorf("%s of %d bytes, %d done: %w", what, want, n, err)
	}
	return nil
}
