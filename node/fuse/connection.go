package fuse

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// ErrNotMounted says that a directory is not the root of a FUSE mount.
var ErrNotMounted = errors.New("fuse: not a FUSE mount")

const (
	connectionsDir = "/sys/fs/fuse/connections"
	// fusectlMagic is what statfs(2) reports there when fusectl is mounted (FUSE_CTL_SUPER_MAGIC, fs/fuse/control.c).
	fusectlMagic = 0x65735543
)

// ConnectionID returns the number of the connection mounted on dir: the minor number of its device, by which fusectl and the
// bdi know it. It reads the mount table and never touches the mount, so a dead server cannot block it. dir must be spelt as
// in the mount table: absolute, clean and without symbolic links. The error wraps [ErrNotMounted].
func ConnectionID(dir string) (uint32, error) {
	infos, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(dir))
	if err != nil {
		return 0, fmt.Errorf("read the mount table: %w", err)
	}
	if len(infos) == 0 {
		return 0, fmt.Errorf("%s: %w", dir, ErrNotMounted)
	}
	top := infos[len(infos)-1]
	if top.FSType != "fuse" && !strings.HasPrefix(top.FSType, "fuse.") {
		return 0, fmt.Errorf("%s is mounted as %s: %w", dir, top.FSType, ErrNotMounted)
	}
	return uint32(top.Minor), nil
}

// Abort ends the connection with this [ConnectionID] for good, wherever it is mounted: every request, waiting or under way,
// fails with ECONNABORTED, and [Conn.Wait] returns [ErrAborted]. A connection that is gone already is no error.
//
// It works through fusectl. Where that is not mounted on /sys/fs/fuse/connections, it is mounted for this one call, visible to
// nobody, which needs CAP_SYS_ADMIN and Linux 5.2.
func Abort(id uint32) error {
	name := strconv.FormatUint(uint64(id), 10) + "/abort"
	var fs unix.Statfs_t
	err := unix.Statfs(connectionsDir, &fs)
	if err == nil && fs.Type == fusectlMagic {
		err = os.WriteFile(connectionsDir+"/"+name, []byte("1"), 0)
	} else {
		err = abortPrivately(name)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("abort FUSE connection %d: %w", id, err)
	}
	return nil
}

// abortPrivately writes to name in a fusectl of its own, which is attached nowhere and gone when its descriptor closes.
func abortPrivately(name string) error {
	fs, err := unix.Fsopen("fusectl", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("fsopen fusectl", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return os.NewSyscallError("fsconfig fusectl", err)
	}
	mnt, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("fsmount fusectl", err)
	}
	defer unix.Close(mnt)
	fd, err := unix.Openat(mnt, name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte("1"))
	return os.NewSyscallError("write", err)
}
