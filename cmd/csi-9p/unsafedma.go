package main

import "github.com/spf13/pflag"

// addUnsafeDMA adds the flag that lets virtio:// do without an IOMMU.
func addUnsafeDMA(flags *pflag.FlagSet, value *bool) {
	flags.BoolVar(value, "allow-unsafe-dma", false, "drive a virtio device that no IOMMU stands before: it can reach all memory of this machine")
}
