package doctor

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/fuse"
)

// features are what volumes use of FUSE beyond what its oldest version that is served has.
var features = []struct {
	flag fuse.InitFlags
	name string
	lost string // what there is not without it
}{
	{fuse.WritebackCache, "write-back", "cache: loose writes through"},
	{fuse.ReaddirplusAuto, "readdirplus", "listing asks for each file"},
	{fuse.ExplicitInvalData, "explicit invalidation", "the kernel drops cached data more often"},
	{fuse.HasResend, "resend", "requests of a mounter that crashed are lost (Linux 6.9)"},
	{fuse.AllowIDMap, "id-mapped mounts", "no pods with hostUsers: false (Linux 6.12)"},
}

// checkFUSE asks the kernel for its FUSE.
func checkFUSE(m *Machine, _ need) Check {
	c := Check{Name: "FUSE", Status: Fail}
	offer, err := m.FUSE()
	if err == nil {
		err = offer.Check()
	}
	switch {
	case err == nil:
	case errors.Is(err, fuse.ErrProtocol):
		c.Found, c.Cure = err.Error(), "boot Linux 5.4 or later"
		return c
	default:
		c.Found, c.Cure = err.Error(), noFUSE(m, err)
		return c
	}
	var has, lacks []string
	for _, f := range features {
		if offer.Flags&f.flag != 0 {
			has = append(has, f.name)
		} else {
			lacks = append(lacks, "no "+f.name+": "+f.lost)
		}
	}
	c.Found = fmt.Sprintf("protocol %d.%d, Linux %s: %s", offer.Major, offer.Minor, m.Release, strings.Join(has, ", "))
	if c.Status = OK; len(lacks) > 0 {
		c.Status, c.Cure = Warn, "a newer kernel has more ("+strings.Join(lacks, "; ")+")"
	}
	return c
}

// noFUSE says what to do where there is no FUSE to talk to.
func noFUSE(m *Machine, err error) string {
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		const device = "give the container the device /dev/fuse"
		switch state := m.module("fuse"); state {
		case loaded:
			return device
		case unknown:
			return modprobe(state, "fuse") + "; " + device
		default:
			return modprobe(state, "fuse")
		}
	case errors.Is(err, os.ErrPermission):
		return "run it as root; in a container, privileged"
	case errors.Is(err, unix.ENOSYS):
		return "allow fsopen(2) in the container's seccomp profile; it takes Linux 5.4"
	}
	return "see the kernel's log (dmesg)"
}

// pageLimit is what a request carries, in pages, where there is no sysctl for it (FUSE_MAX_MAX_PAGES until Linux 6.13).
const pageLimit = 256

// checkRequestSize looks at the size of FUSE's requests.
func checkRequestSize(m *Machine, _ need) Check {
	c := Check{Name: "FUSE request size", Status: OK}
	pages := pageLimit
	if text, err := m.read("proc/sys/fs/fuse/max_pages_limit"); err == nil {
		if n, err := strconv.Atoi(text); err == nil {
			pages = n
		}
	}
	c.Found = fmt.Sprintf("%d KiB at most", pages*os.Getpagesize()>>10)
	if pages < pageLimit {
		c.Status, c.Cure = Warn, fmt.Sprintf("sysctl fs.fuse.max_pages_limit=%d, the default, is as much as volumes ask for", pageLimit)
	}
	return c
}

// checkIOURing looks for FUSE over io_uring: the kernel, its switch, and whether this process may make a ring.
func checkIOURing(m *Machine, _ need) Check {
	c := Check{Name: "FUSE over io_uring", Status: OK, Found: "to be had by --io-uring"}
	err := m.IOURing()
	if err == nil {
		return c
	}
	c.Status = Warn
	c.Found = strings.TrimPrefix(err.Error(), fuse.ErrNoIOURing.Error()+": ")
	if i := strings.LastIndex(c.Found, ": "); i >= 0 { // what to do is the error's end
		c.Found, c.Cure = c.Found[:i], c.Found[i+2:]
	}
	return c
}
