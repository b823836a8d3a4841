package fuse

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNoIOURing says that FUSE requests cannot come by io_uring, and with what it wraps why not.
var ErrNoIOURing = errors.New("FUSE over io_uring is not to be had")

// IOURing says whether requests come by io_uring instead of /dev/fuse.
type IOURing uint8

// The values of IOURing.
const (
	IOURingOff     IOURing = iota // they do not
	IOURingAuto                   // they do where the kernel lets them
	IOURingRequire                // they do, or Serve fails with ErrNoIOURing
)

var ioURingNames = [...]string{IOURingOff: "off", IOURingAuto: "auto", IOURingRequire: "require"}

// String returns off, auto or require.
func (u *IOURing) String() string { return ioURingNames[*u] }

// Set is String's reverse; with Type it makes IOURing the value of a flag.
func (u *IOURing) Set(s string) error {
	for i, name := range ioURingNames {
		if s == name {
			*u = IOURing(i)
			return nil
		}
	}
	return fmt.Errorf("%q is none of %s", s, strings.Join(ioURingNames[:], ", "))
}

// Type is what a flag's help calls the value.
func (*IOURing) Type() string { return "off|auto|require" }

const (
	enableURingPath  = "/sys/module/fuse/parameters/enable_uring"
	possibleCPUsPath = "/sys/devices/system/cpu/possible"
)

// CheckIOURing tells why requests could not come by io_uring, as far as that can be seen without a mount. The error wraps
// [ErrNoIOURing] and says what to do.
func CheckIOURing() error {
	if err := kernelHasIOURing(); err != nil {
		return err
	}
	u, err := newURing(1, 2)
	if err != nil {
		return explainRing(err)
	}
	u.close()
	return nil
}

// kernelHasIOURing looks at the FUSE module's parameter. One that it may not see counts as set: INIT will tell.
func kernelHasIOURing() error {
	value, err := os.ReadFile(enableURingPath)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%w: there is no %s: it takes Linux 6.14 built with CONFIG_FUSE_IO_URING", ErrNoIOURing, enableURingPath)
	case err == nil && strings.TrimSpace(string(value)) == "N":
		return fmt.Errorf("%w: it is switched off: run 'echo Y > %s' on the node, or boot with fuse.enable_uring=1",
			ErrNoIOURing, enableURingPath)
	}
	return nil
}

// explainRing says what to do about a ring that could not be made.
func explainRing(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("%w: io_uring_setup: %w: allow io_uring in the container's seccomp profile (the overlay vsock does) "+
			"and by the sysctl kernel.io_uring_disabled=0", ErrNoIOURing, err)
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("%w: io_uring_setup: %w: raise the memory limit, and RLIMIT_MEMLOCK", ErrNoIOURing, err)
	}
	return fmt.Errorf("%w: io_uring_setup: %w", ErrNoIOURing, err)
}

// possibleCPUs is the number of CPUs that the kernel may ever have, for each of which FUSE wants a queue.
func possibleCPUs() (int, error) {
	list, err := os.ReadFile(possibleCPUsPath)
	if err != nil {
		return 0, err
	}
	return countCPUs(strings.TrimSpace(string(list)))
}

// countCPUs counts the CPUs of a list such as "0-3,8" (Documentation/admin-guide/cputopology.rst).
func countCPUs(list string) (n int, err error) {
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err := errors.Join(err1, err2); err != nil || to < from {
			return 0, fmt.Errorf("%s has %q: %w", possibleCPUsPath, list, errors.Join(err, unix.EINVAL))
		}
		n += int(to-from) + 1
	}
	return n, nil
}
