// Package memory measures what volumes take of this process's memory: a node's worth of them, mounted for real on one
// session, idle, used, and after a great many opens and mounts.
package memory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/bench/report"
)

// ErrUsage is wrapped by errors of options that cannot be meant.
var ErrUsage = errors.New("bench memory")

// Options say how much is done.
type Options struct {
	URL     string // of a share in which directories can be made
	Dir     string // an empty directory for mount points
	Volumes int    // mounted at the same time
	Opens   int    // files opened, read and closed, over all volumes
	Mounts  int    // volumes mounted, used and unmounted beside those
	// Progress is told what is done now, and how much of all is, from 0 to 1. It must not block.
	Progress func(what string, done float64)
}

const (
	// filesOfVolume is how many files each volume has. Each is read while the volume is used.
	filesOfVolume = 16
	// warmUp is the part of a churn, one in so many, after which what it takes once and for all has been taken.
	warmUp = 10
)

// Limits, in bytes.
const (
	mostResident = 250 << 20 // of all volumes
	mostIdle     = 100 << 10 // of a volume that nobody uses
	mostGrowth   = 4 << 20   // of a churn: what a collector and an allocator leave to chance
)

// Run mounts, measures and leaves nothing behind. It needs root and /dev/fuse, and a process whose memory is nobody else's.
func Run(ctx context.Context, o Options) (r *Report, err error) {
	if o.Volumes < 1 || o.Opens < warmUp || o.Mounts < warmUp {
		return nil, fmt.Errorf("%w: at least one volume, %d opens and %d mounts are wanted", ErrUsage, warmUp, warmUp)
	}
	b := &bench{Options: o, node: node{url: o.URL, dir: o.Dir}, report: &Report{Bench: "memory", Machine: report.ThisMachine()}}
	defer func() { err = errors.Join(err, b.node.close()) }()
	if err := b.run(ctx); err != nil {
		return nil, err
	}
	return b.report, nil
}

// bench is a run.
type bench struct {
	Options
	node   node
	report *Report
}

// run takes the steps, and measures after each.
func (b *bench) run(ctx context.Context) error {
	share, err := b.node.mount(ctx, "share")
	if err != nil {
		return err
	}
	top, err := b.prepare(share)
	defer func() { _ = os.RemoveAll(top) }() // what cannot be removed stays on the share, beneath a name that says whose it is
	if err != nil {
		return err
	}
	volumes := make([]string, b.Volumes)
	steps := []struct {
		name string
		do   func() error
	}{
		{"one volume", func() error { return nil }},
		{"volumes mounted", func() error {
			return b.each(func(i int) (err error) { volumes[i], err = b.volume(ctx, top, i); return err })
		}},
		{"each used, then idle", func() error { return b.each(func(i int) error { return use(volumes[i]) }) }},
		{"some opens", func() error { return b.opens(ctx, volumes, b.Opens/warmUp) }},
		{"all opens", func() error { return b.opens(ctx, volumes, b.Opens-b.Opens/warmUp) }},
		{"some mounts", func() error { return b.mounts(ctx, top, b.Mounts/warmUp) }},
		{"all mounts", func() error { return b.mounts(ctx, top, b.Mounts-b.Mounts/warmUp) }},
		{"volumes unmounted", func() error { return b.each(func(i int) error { return b.node.unmount(ctx, volumes[i]) }) }},
	}
	for i, s := range steps {
		b.Progress(s.name, float64(i)/float64(len(steps)))
		if err := errors.Join(s.do(), ctx.Err()); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		state, err := measure(s.name, len(b.node.mounted))
		if err != nil {
			return err
		}
		b.report.States = append(b.report.States, state)
	}
	b.judge()
	return nil
}

// prepare makes the volumes' directories, and one for the churn of mounts.
func (b *bench) prepare(share string) (top string, err error) {
	top = filepath.Join(share, "csi-9p-bench-memory-"+strconv.Itoa(os.Getpid()))
	if err := unix.Mkdir(top, 0o755); err != nil {
		return "", &os.PathError{Op: "mkdir", Path: top, Err: err}
	}
	for i := range b.Volumes + 1 {
		dir := filepath.Join(top, strconv.Itoa(i))
		if err := unix.Mkdir(dir, 0o755); err != nil {
			return top, &os.PathError{Op: "mkdir", Path: dir, Err: err}
		}
		for k := range filesOfVolume {
			if err := write(filepath.Join(dir, strconv.Itoa(k))); err != nil {
				return top, err
			}
		}
	}
	return top, nil
}

// volume mounts the volume of a number, whose directory is in top.
func (b *bench) volume(ctx context.Context, top string, i int) (dir string, err error) {
	return b.node.mount(ctx, "volume-"+strconv.Itoa(i), filepath.Base(top), strconv.Itoa(i))
}

func (b *bench) each(do func(i int) error) error {
	for i := range b.Volumes {
		if err := do(i); err != nil {
			return err
		}
	}
	return nil
}

// use reads every file of a volume, all of them at the same time.
func use(dir string) error {
	var readers errgroup.Group
	for k := range filesOfVolume {
		readers.Go(func() error { return read(filepath.Join(dir, strconv.Itoa(k))) })
	}
	return readers.Wait()
}

// opens opens n files, one volume after the other. Now and then it is a new one, which is removed again.
func (b *bench) opens(ctx context.Context, volumes []string, n int) error {
	const fresh = 8 // one in so many
	for i := range n {
		dir := volumes[i%len(volumes)]
		path := filepath.Join(dir, strconv.Itoa(i%filesOfVolume))
		if i%fresh != 0 {
			if err := read(path); err != nil {
				return err
			}
			continue
		}
		path = filepath.Join(dir, "new-"+strconv.Itoa(i))
		if err := errors.Join(write(path), unix.Unlink(path), ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

// mounts mounts, uses and unmounts a volume n times.
func (b *bench) mounts(ctx context.Context, top string, n int) error {
	for range n {
		dir, err := b.volume(ctx, top, b.Volumes)
		if err == nil {
			err = errors.Join(use(dir), b.node.unmount(ctx, dir), ctx.Err())
		}
		if err != nil {
			return err
		}
	}
	return nil
}
