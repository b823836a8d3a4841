// Package mountpoint binds and unmounts by system calls and reads the mount
// table. It implements the interface of k8s.io/mount-utils, whose own Mounter
// executes mount(8), which an image made from scratch lacks.
//
// Nothing here stats, opens or otherwise asks a mounted file system: a path's
// state is what /proc/self/mountinfo says, so that a server that does not
// answer blocks nobody. Requires Linux 5.12 (mount_setattr).
package mountpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
	mount "k8s.io/mount-utils"
)

// Mounter implements mount.Interface. It has no state: all methods are safe for
// concurrent use.
type Mounter struct{}

var _ mount.Interface = Mounter{}

// Kernel9P is the file system type of the kernel's own 9P client.
const Kernel9P = "9p"

// ErrBindOnly is the answer to mounting anything but an existing tree or a share
// by the kernel's 9P client: file systems are mounted by whoever serves them.
var ErrBindOnly = errors.New("mountpoint: only bind mounts and 9p are made here")

// Mount binds the tree at source to target with the attributes that options
// name (see Attributes), which must contain "bind" for that. The mount appears
// with all its attributes at once: a read-only bind is at no time writable, and
// a caller that dies halfway leaves nothing.
//
// With the type Kernel9P it mounts a share by mount(2), which may wait for the
// server; the options that are no flags of mount(8) are the file system's.
func (m Mounter) Mount(source, target, fstype string, options []string) error {
	if fstype == Kernel9P {
		return mountKernel9P(source, target, options)
	}
	if !slices.Contains(options, "bind") {
		return ErrBindOnly
	}
	attr, err := Attributes(options)
	if err != nil {
		return err
	}
	return bind(source, target, attr)
}

// MountSensitive is Mount: nothing is logged, and a bind has no secrets.
func (m Mounter) MountSensitive(source, target, fstype string, options, sensitive []string) error {
	return m.Mount(source, target, fstype, slices.Concat(options, sensitive))
}

// MountSensitiveWithoutSystemd is Mount: systemd has no part in a system call.
func (m Mounter) MountSensitiveWithoutSystemd(source, target, fstype string, options, sensitive []string) error {
	return m.MountSensitive(source, target, fstype, options, sensitive)
}

// MountSensitiveWithoutSystemdWithMountFlags is Mount; flags are those of
// mount(8) itself, of which a system call knows none.
func (m Mounter) MountSensitiveWithoutSystemdWithMountFlags(source, target, fstype string, options, sensitive, flags []string) error {
	if len(flags) > 0 {
		return fmt.Errorf("mountpoint: flags of mount(8) %q: %w", flags, errors.ErrUnsupported)
	}
	return m.MountSensitive(source, target, fstype, options, sensitive)
}

// maxStacked bounds the mounts that Unmount takes off one path.
const maxStacked = 64

// Unmount detaches every mount at target, lazily (MNT_DETACH) and without
// following a symbolic link. A path that is no mount point, or is not there, is
// no error. The end of a file system's last mount may wait for its dirty
// pages: see umount2(2) and the caller's means to end such a wait.
func (m Mounter) Unmount(target string) error {
	for range maxStacked {
		err := unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		switch {
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
			return nil
		case err != nil:
			return &os.PathError{Op: "umount2", Path: target, Err: err}
		}
	}
	return fmt.Errorf("mountpoint: %s: more than %d mounts lie on one another", target, maxStacked)
}

// List returns the mount table in the form of /proc/mounts.
func (m Mounter) List() ([]mount.MountPoint, error) {
	table, err := Table()
	if err != nil {
		return nil, err
	}
	list := make([]mount.MountPoint, 0, len(table))
	for _, info := range table {
		list = append(list, mount.MountPoint{
			Device: info.Source, Path: info.MountPoint, Type: info.FsType,
			Opts: slices.Concat(info.MountOptions, info.SuperOptions),
		})
	}
	return list, nil
}

// IsMountPoint tells whether the mount table has an entry for path. A path that
// does not exist is no mount point.
func (m Mounter) IsMountPoint(path string) (bool, error) {
	at, err := At(path)
	return len(at) > 0, err
}

// IsLikelyNotMountPoint is the opposite of IsMountPoint, and as exact.
func (m Mounter) IsLikelyNotMountPoint(path string) (bool, error) {
	is, err := m.IsMountPoint(path)
	return !is, err
}

// CanSafelySkipMountPointCheck is true: Unmount takes what is no mount point.
func (m Mounter) CanSafelySkipMountPointCheck() bool { return true }

// GetMountRefs returns the other places where the tree is that is on top at path.
func (m Mounter) GetMountRefs(path string) ([]string, error) {
	table, err := Table()
	if err != nil {
		return nil, err
	}
	path = filepath.Clean(path)
	here := at(table, path)
	if len(here) == 0 {
		return nil, nil
	}
	top := here[len(here)-1]
	var refs []string
	for _, info := range table {
		if info.MountPoint != path && SameFilesystem(info, top) && info.Root == top.Root {
			refs = append(refs, info.MountPoint)
		}
	}
	return refs, nil
}
