package stream

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The vectored system calls, on vectors that the caller keeps: those of
// golang.org/x/sys make theirs anew for each call. struct iovec is a pointer
// and a size_t (include/uapi/linux/uio.h, unchanged since Linux 1.3);
// unix.Iovec lays it out. A call takes UIO_MAXIOV, 1024, of them.

// setVector makes v name the bytes of p, which must not be empty. v keeps
// them alive.
func setVector(v *unix.Iovec, p []byte) {
	v.Base = unsafe.SliceData(p)
	v.SetLen(len(p))
}

// readv is readv(2). v must be in the heap and not empty.
func readv(fd uintptr, v []unix.Iovec) (int, syscall.Errno) {
	n, _, errno := unix.Syscall(unix.SYS_READV, fd, uintptr(unsafe.Pointer(unsafe.SliceData(v))), uintptr(len(v)))
	return int(n), errno
}

// writev is writev(2), likewise. Go's runtime turns the SIGPIPE of a broken
// socket into EPIPE alone.
func writev(fd uintptr, v []unix.Iovec) (int, syscall.Errno) {
	n, _, errno := unix.Syscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(unsafe.SliceData(v))), uintptr(len(v)))
	return int(n), errno
}

// splice is splice(2) from a socket to a pipe, n bytes at most, without waiting
// for either.
func splice(socket, pipe uintptr, n int) (int, syscall.Errno) {
	moved, _, errno := unix.Syscall6(unix.SYS_SPLICE, socket, 0, pipe, 0, uintptr(n), unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
	return int(moved), errno
}
