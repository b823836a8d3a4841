// Package bench measures how fast the client, its mounts and the exporter are: each beside what it is to be compared with, in
// the same rounds. What it prints is a report; whether that is good enough is for its reader, and for the ratios in it.
package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/csi-9p/csi-9p/bench/measure"
	"github.com/csi-9p/csi-9p/bench/report"
	"github.com/csi-9p/csi-9p/bench/rig"
	"github.com/csi-9p/csi-9p/bench/work"
)

// ErrUsage is wrapped by errors of options that cannot be meant.
var ErrUsage = errors.New("bench")

// Options are what the benches have in common.
type Options struct {
	// Target is a directory to export and measure on, or the URL of a share that is served already.
	Target string
	// Transport is how a directory is exported: unix or tcp.
	Transport string
	Rounds    int
	Slice     time.Duration // how long each thing is measured in a round
	Area      int64         // bytes of the files that are read and written
	Program   string        // path of csi-9p
	// Progress is told what is measured now, and how much of all is done, from 0 to 1. It must not block.
	Progress func(what string, done float64)
}

// served tells a URL from a directory.
func (o *Options) served() bool { return strings.Contains(o.Target, "://") }

// check reports options that cannot be meant.
func (o *Options) check() error {
	if o.Rounds < 1 || o.Slice <= 0 || o.Area < 1<<20 {
		return fmt.Errorf("%w: at least one round of some length on a file of 1Mi or more is wanted", ErrUsage)
	}
	if o.served() {
		return nil
	}
	info, err := os.Stat(o.Target)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: %s is neither a directory nor a URL such as tcp://host", ErrUsage, o.Target)
	}
	o.Target, err = filepath.Abs(o.Target)
	return err
}

// begin starts what a bench measures with, which the caller closes, and returns the URL of the target and a description of it.
func (o *Options) begin(ctx context.Context) (r *rig.Rig, url, described string, err error) {
	if r, err = rig.New(o.Program); err != nil {
		return nil, "", "", err
	}
	if url, described, err = o.share(ctx, r); err != nil {
		return nil, "", "", errors.Join(err, r.Close())
	}
	return r, url, described, nil
}

// share returns the URL of the target, which it exports if it is a directory, and describes it.
func (o *Options) share(ctx context.Context, r *rig.Rig) (url, described string, err error) {
	if o.served() {
		return o.Target, "A share at " + o.Target[:strings.Index(o.Target, "://")] + "://", nil
	}
	url, err = r.Serve(ctx, o.Transport, "serve", o.Target)
	kind := map[string]string{"unix": "a unix socket", "tcp": "TCP on the loopback interface"}[o.Transport]
	return url, "A directory exported over " + kind, err
}

func (o *Options) report(name, target string) *report.Report {
	return &report.Report{Bench: name, Target: target, Machine: report.ThisMachine(), Rounds: o.Rounds, Slice: o.Slice}
}

// compare opens the work of one row, measures it and closes it again. Work that is nil has no result; what cannot be opened, or
// fails, has one with its error.
func (o *Options) compare(ctx context.Context, name string, done float64, open []func() (*work.Work, error)) []*measure.Result {
	slices, closers, failures := make([]measure.Slice, len(open)), make([]func() error, len(open)), make([]error, len(open))
	for i, f := range open {
		if f == nil {
			continue
		}
		w, err := f()
		if failures[i] = err; err == nil {
			slices[i], closers[i] = w.Slice, w.Close
		}
	}
	plan := measure.Plan{Rounds: o.Rounds, Slice: o.Slice, Round: func(n int) {
		o.Progress(fmt.Sprintf("%s, round %d of %d", name, n, o.Rounds), done)
	}}
	results := plan.Compare(ctx, slices)
	for i := range results {
		if failures[i] != nil {
			results[i] = &measure.Result{Err: failures[i]}
		} else if closers[i] != nil {
			results[i].Err = errors.Join(results[i].Err, closers[i]())
		}
	}
	return results
}
