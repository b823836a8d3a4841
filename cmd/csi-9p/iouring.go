package main

import (
	"fmt"

	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/spf13/pflag"
)

// addIOURing adds the flag that chooses how FUSE requests come.
func addIOURing(flags *pflag.FlagSet, value *fuse.IOURing) {
	flags.Var(value, "io-uring", "take FUSE requests by io_uring (Linux 6.14, fuse.enable_uring=1): not, where it is to be had, or fail without it")
}

// checkIOURing fails at the start where every mount would.
func checkIOURing(value fuse.IOURing) error {
	if value != fuse.IOURingRequire {
		return nil
	}
	if err := fuse.CheckIOURing(); err != nil {
		return fmt.Errorf("--io-uring=require: %w", err)
	}
	return nil
}
