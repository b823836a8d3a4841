package fuse

import (
	"os"

	"golang.org/x/sys/unix"
)

// devicePath is the character device of every FUSE connection.
const devicePath = "/dev/fuse"

// OpenDevice opens /dev/fuse for one [Mount]. The connection lives as long as the file, its duplicates in other processes, or
// a [Conn] that serves it.
//
// The file is opened blocking and so stays out of the runtime's poller: polled before it is mounted, the device reports an
// error once and is never heard of again (fuse_dev_poll). [Serve] makes it non-blocking once it is mounted.
func OpenDevice() (*os.File, error) {
	fd, err := unix.Open(devicePath, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: devicePath, Err: err}
	}
	return os.NewFile(uintptr(fd), devicePath), nil
}

// duplicate returns a non-blocking file of its own, known to the poller, on the open file description of dev.
func duplicate(dev *os.File) (*os.File, error) {
	raw, err := dev.SyscallConn()
	if err != nil {
		return nil, err
	}
	dup := -1
	var dupErr error
	err = raw.Control(func(fd uintptr) {
		if dup, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); dupErr == nil {
			dupErr = unix.SetNonblock(dup, true)
		}
	})
	if err == nil {
		err = dupErr
	}
	if err != nil {
		if dup >= 0 {
			_ = unix.Close(dup)
		}
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(dup), devicePath), nil
}
