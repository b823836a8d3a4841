package fuse

import (
	"errors"
	"fmt"
	"os"
	"strconv"
)

// Limits are how far the kernel goes on a mount, beside what INIT negotiates.
type Limits struct {
	// ReadAhead is how far it reads ahead, in bytes, rounded down to KiB.
	ReadAhead int
	// WriteBack lets the mount have its share of the node's dirty pages, for connections with [WritebackCache]. Without, each
	// FUSE mount is throttled at 1 % of them, whether others have any or not (fuse_bdi_init of Linux 6.18).
	WriteBack bool
}

// dirtyShare is the most that one mount may have of the node's dirty pages, in percent. Those of a lost server are dirty until
// they are given up, and what is left is for the node's own disks and its other servers.
const dirtyShare = 25

// SetLimits sets the limits of the mount with this [ConnectionID] in sysfs (Documentation/ABI/testing/sysfs-class-bdi), without
// touching the mount. It counts from [Serve] on: INIT lowers the read-ahead to 128 KiB whatever was set before.
func SetLimits(id uint32, l Limits) error {
	err := setLimit(id, "read_ahead_kb", l.ReadAhead>>10)
	if !l.WriteBack {
		return err
	}
	strict := setLimit(id, "strict_limit", 0)
	if errors.Is(strict, os.ErrNotExist) {
		strict = nil // before Linux 6.2 there is no changing it
	}
	return errors.Join(err, setLimit(id, "max_ratio", dirtyShare), strict)
}

func setLimit(id uint32, name string, value int) error {
	path := fmt.Sprintf("/sys/class/bdi/0:%d/%s", id, name)
	return os.WriteFile(path, []byte(strconv.Itoa(value)), 0)
}
