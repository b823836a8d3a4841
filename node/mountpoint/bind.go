package mountpoint

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// option is what a mount option means to mount_setattr(2).
type option struct{ set, clear uint64 }

// options are the attributes that every mount has for itself, whatever its
// file system (mount(8), FILESYSTEM-INDEPENDENT MOUNT OPTIONS).
var options = map[string]option{
	"bind":        {},
	"ro":          {set: unix.MOUNT_ATTR_RDONLY},
	"rw":          {clear: unix.MOUNT_ATTR_RDONLY},
	"nosuid":      {set: unix.MOUNT_ATTR_NOSUID},
	"suid":        {clear: unix.MOUNT_ATTR_NOSUID},
	"nodev":       {set: unix.MOUNT_ATTR_NODEV},
	"dev":         {clear: unix.MOUNT_ATTR_NODEV},
	"noexec":      {set: unix.MOUNT_ATTR_NOEXEC},
	"exec":        {clear: unix.MOUNT_ATTR_NOEXEC},
	"nodiratime":  {set: unix.MOUNT_ATTR_NODIRATIME},
	"diratime":    {clear: unix.MOUNT_ATTR_NODIRATIME},
	"relatime":    {set: unix.MOUNT_ATTR_RELATIME, clear: unix.MOUNT_ATTR__ATIME},
	"noatime":     {set: unix.MOUNT_ATTR_NOATIME, clear: unix.MOUNT_ATTR__ATIME},
	"strictatime": {set: unix.MOUNT_ATTR_STRICTATIME, clear: unix.MOUNT_ATTR__ATIME},
}

// Attributes returns what options ask of a mount. An option that is no
// attribute of a mount is an error that names it; a later option wins over an
// earlier one.
func Attributes(names []string) (unix.MountAttr, error) {
	var attr unix.MountAttr
	for _, name := range names {
		o, ok := options[name]
		if !ok {
			return unix.MountAttr{}, fmt.Errorf("mountpoint: %q is not an option of a bind mount", name)
		}
		attr.Attr_set = attr.Attr_set&^o.clear | o.set
		attr.Attr_clr = attr.Attr_clr&^o.set | o.clear
	}
	return attr, nil
}

// bind makes target another name of source's tree. The copy gets its attributes
// while it is attached nowhere. Neither lookup asks the file system behind a
// mount point: a walk ends at the root of a mount that the kernel holds.
func bind(source, target string, attr unix.MountAttr) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return &os.PathError{Op: "open_tree", Path: source, Err: err}
	}
	defer unix.Close(fd)
	if attr != (unix.MountAttr{}) {
		if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
			return &os.PathError{Op: "mount_setattr", Path: target, Err: err}
		}
	}
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "move_mount", Path: target, Err: err}
	}
	return nil
}
