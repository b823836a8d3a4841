package fuse

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// MountOptions say how a connection is mounted.
type MountOptions struct {
	// Source is the first column of the mount table; it has no other meaning.
	Source string
	// Subtype makes the type in the mount table "fuse.<Subtype>".
	Subtype string
	// ReadOnly mounts with MS_RDONLY.
	ReadOnly bool
	// Flags are more MS_* flags of mount(2), such as MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME.
	Flags uintptr
	// AllowOther lets users other than root in.
	AllowOther bool
	// DefaultPermissions makes the kernel check modes and owners.
	DefaultPermissions bool
	// MaxRead bounds a READ, in bytes; 0 leaves it to what INIT negotiates.
	MaxRead int
}

// Mount mounts the connection of dev, from [OpenDevice], on the directory dir by mount(2). It needs CAP_SYS_ADMIN. The mount
// answers once [Serve] has dev; until then whoever enters it waits.
func Mount(dev *os.File, dir string, o MountOptions) error {
	raw, err := dev.SyscallConn()
	if err != nil {
		return err
	}
	fstype := "fuse"
	if o.Subtype != "" {
		fstype += "." + o.Subtype
	}
	flags := o.Flags
	if o.ReadOnly {
		flags |= unix.MS_RDONLY
	}
	var mountErr error
	err = raw.Control(func(fd uintptr) {
		mountErr = unix.Mount(o.Source, dir, fstype, flags, o.data(fd))
	})
	if err == nil {
		err = mountErr
	}
	if err != nil {
		return &os.PathError{Op: "mount " + fstype + " on", Path: dir, Err: err}
	}
	return nil
}

// data is mount(2)'s last argument (fs/fuse/inode.c, fuse_fs_parameters).
func (o *MountOptions) data(fd uintptr) string {
	s := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)
	if o.AllowOther {
		s += ",allow_other"
	}
	if o.DefaultPermissions {
		s += ",default_permissions"
	}
	if o.MaxRead > 0 {
		s += fmt.Sprintf(",max_read=%d", o.MaxRead)
	}
	return s
}

// Unmount detaches the topmost mount from dir (MNT_DETACH). A mount in use elsewhere lives on until its last user is gone.
//
// When this was the last user the kernel writes dirty pages back before umount2(2) returns, which a server that does not
// answer blocks. Take the [ConnectionID] first, and [Abort] it from another goroutine when the wait is too long.
func Unmount(dir string) error {
	if err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return &os.PathError{Op: "unmount", Path: dir, Err: err}
	}
	return nil
}
