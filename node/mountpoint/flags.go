package mountpoint

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// flag is what a mount option means to mount(2).
type flag struct{ set, clear uintptr }

var flags = map[string]flag{
	"ro": {set: unix.MS_RDONLY}, "rw": {clear: unix.MS_RDONLY},
	"nosuid": {set: unix.MS_NOSUID}, "suid": {clear: unix.MS_NOSUID},
	"nodev": {set: unix.MS_NODEV}, "dev": {clear: unix.MS_NODEV},
	"noexec": {set: unix.MS_NOEXEC}, "exec": {clear: unix.MS_NOEXEC},
	"noatime": {set: unix.MS_NOATIME}, "atime": {clear: unix.MS_NOATIME},
	"nodiratime": {set: unix.MS_NODIRATIME}, "diratime": {clear: unix.MS_NODIRATIME},
	"relatime": {set: unix.MS_RELATIME}, "norelatime": {clear: unix.MS_RELATIME},
	"strictatime": {set: unix.MS_STRICTATIME}, "nostrictatime": {clear: unix.MS_STRICTATIME},
	"lazytime": {set: unix.MS_LAZYTIME}, "nolazytime": {clear: unix.MS_LAZYTIME},
	"sync": {set: unix.MS_SYNCHRONOUS}, "async": {clear: unix.MS_SYNCHRONOUS},
	"dirsync": {set: unix.MS_DIRSYNC},
}

// Flags returns what the generic options of mount(8) are to mount(2). A later
// option wins over an earlier one.
func Flags(names []string) (uintptr, error) {
	var bits uintptr
	for _, name := range names {
		f, ok := flags[name]
		if !ok {
			return 0, fmt.Errorf("mountpoint: %q is not a generic mount option", name)
		}
		bits = bits&^f.clear | f.set
	}
	return bits, nil
}

// mountKernel9P mounts a share by the kernel's client.
func mountKernel9P(source, target string, options []string) error {
	var generic, own []string
	for _, o := range options {
		if _, known := flags[o]; known {
			generic = append(generic, o)
		} else {
			own = append(own, o)
		}
	}
	bits, err := Flags(generic)
	if err != nil {
		return err
	}
	if err := unix.Mount(source, target, Kernel9P, bits, strings.Join(own, ",")); err != nil {
		return &os.PathError{Op: "mount " + Kernel9P + " on", Path: target, Err: err}
	}
	return nil
}

// Split separates generic options into those that every mount has for itself,
// a bind too, and those of the file system.
func Split(names []string) (ofMount, ofFilesystem []string) {
	for _, name := range names {
		if _, own := options[name]; own {
			ofMount = append(ofMount, name)
		} else {
			ofFilesystem = append(ofFilesystem, name)
		}
	}
	return ofMount, ofFilesystem
}
