package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"
	"k8s.io/klog/v2"

	"github.com/csi-9p/csi-9p/node/fuse"
)

// addIOURing adds the flag that chooses how FUSE requests come.
func addIOURing(flags *pflag.FlagSet, value *fuse.IOURing) {
	flags.Var(value, "io-uring", "take FUSE requests by io_uring (Linux 6.14, fuse.enable_uring=1): not, where it is to be had, or fail without it")
}

// settleIOURing decides at the start how requests come to every mount of the process: it fails where each would, and has auto be off
// where it is of no use.
func settleIOURing(ctx context.Context, value fuse.IOURing) (fuse.IOURing, error) {
	if value == fuse.IOURingOff {
		return value, nil
	}
	err := fuse.CheckIOURing()
	switch {
	case err == nil:
		return value, nil
	case value == fuse.IOURingRequire:
		return value, fmt.Errorf("--io-uring=require: %w", err)
	}
	klog.FromContext(ctx).Info("FUSE requests go through /dev/fuse", "reason", err.Error())
	return fuse.IOURingOff, nil
}
