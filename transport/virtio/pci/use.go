package pci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// kernelUse returns an error that wraps ErrInUse where the kernel's 9p client
// has, or may have, a device mounted. To take the driver from such a device would
// hang until it is unmounted: p9_virtio_remove waits for that without end, with
// the device's lock held (net/9p/trans_virtio.c).
func (t tree) kernelUse(f Function) error {
	if f.Driver != driverVirtio {
		return nil
	}
	mounts, err := t.virtioMounts()
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if m.Source == f.Tag {
			return fmt.Errorf("%w: the kernel's 9p client has it mounted on %s: unmount that first, or use the volume's engine kernel", ErrInUse, m.Mountpoint)
		}
	}
	// Each mount holds the module once. More holders than mounts that can be
	// seen: some are in other mount namespaces, and one may be this device's.
	count, err := attribute(t.path("sys/module/9pnet_virtio/refcnt"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // not loaded: nothing is mounted. Built in: what can be seen is all that is known.
	}
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(count); err == nil && n > len(mounts) {
		return fmt.Errorf("%w: the kernel's 9p client has %d virtio mounts, of which %d can be seen from here, and another may be of this device: "+
			"unmount them, or run where the host's mounts can be seen (hostPID)", ErrInUse, n, len(mounts))
	}
	return nil
}

// virtioMounts returns the mounts of the kernel's 9p client over virtio, one for
// each file system, as seen from this process and from the first one.
func (t tree) virtioMounts() ([]*mountinfo.Info, error) {
	var all []*mountinfo.Info
	for _, process := range []string{"self", "1"} {
		mounts, err := t.mounts(process, func(m *mountinfo.Info) (skip, stop bool) {
			seen := slices.ContainsFunc(all, func(o *mountinfo.Info) bool { return o.Major == m.Major && o.Minor == m.Minor })
			return seen || m.FSType != "9p" || !slices.Contains(strings.Split(m.VFSOptions, ","), "trans=virtio"), false
		})
		if err != nil && process == "self" {
			return nil, fmt.Errorf("looking for mounts of the kernel's 9p client: %w", err)
		}
		for _, m := range mounts {
			if !slices.ContainsFunc(all, func(o *mountinfo.Info) bool { return o.Major == m.Major && o.Minor == m.Minor }) {
				all = append(all, m)
			}
		}
	}
	return all, nil
}

// mounts reads the mountinfo of a process.
func (t tree) mounts(process string, filter mountinfo.FilterFunc) ([]*mountinfo.Info, error) {
	file, err := os.Open(t.path("proc", process, "mountinfo"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return mountinfo.GetMountsFromReader(file, filter)
}
