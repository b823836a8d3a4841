package fuse

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file holds every use of unsafe but the sizes of wire structures: views of request and reply bytes as the structures of
// wire.go, whose layout TestLayout checks against fuse.h, and the two system calls of the hot path.

const (
	inHeaderSize  = int(unsafe.Sizeof(InHeader{}))
	outHeaderSize = int(unsafe.Sizeof(OutHeader{}))
	// headSize is what of a request is read apart from the receive buffer: a WRITE but for its payload.
	headSize        = inHeaderSize + int(unsafe.Sizeof(WriteIn{}))
	entrySize       = int(unsafe.Sizeof(EntryOut{}))
	attrSize        = int(unsafe.Sizeof(AttrOut{}))
	openSize        = int(unsafe.Sizeof(OpenOut{}))
	writeOutSize    = int(unsafe.Sizeof(WriteOut{}))
	statfsSize      = int(unsafe.Sizeof(StatfsOut{}))
	getxattrOutSize = int(unsafe.Sizeof(GetxattrOut{}))
	fileLockSize    = int(unsafe.Sizeof(FileLock{}))
	initOutSize     = int(unsafe.Sizeof(InitOut{}))
	batchForgetSize = int(unsafe.Sizeof(BatchForgetIn{}))
	forgetOneSize   = int(unsafe.Sizeof(ForgetOne{}))
	// wireAlign is the alignment of every wire structure.
	wireAlign = unsafe.Alignof(uint64(0))
)

// view returns the beginning of b as a T, a structure of wire.go without pointers. It panics when b is too short for it or not
// aligned, as an index out of range does.
func view[T any](b []byte) *T {
	var t T
	_ = b[unsafe.Sizeof(t)-1]
	p := unsafe.Pointer(unsafe.SliceData(b))
	if uintptr(p)%wireAlign != 0 {
		panic("fuse: misaligned wire structure")
	}
	return (*T)(p)
}

// bytesOf returns the memory of words.
func bytesOf(words []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), len(words)*8)
}

// readv reads one request. The descriptor is expected to be non-blocking, but its flags are shared with other processes, so
// the scheduler is told: a read that blocks after all costs a thread and does not stop the world.
func readv(fd uintptr, iov []unix.Iovec) (int, unix.Errno) {
	n, _, errno := unix.Syscall(unix.SYS_READV, fd, uintptr(unsafe.Pointer(unsafe.SliceData(iov))), uintptr(len(iov)))
	return int(n), errno
}

// writev writes one reply. The scheduler is not told: a reply never blocks (fuse_dev_do_write of Linux 6.18 only copies it).
func writev(fd uintptr, iov []unix.Iovec) unix.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(unsafe.SliceData(iov))), uintptr(len(iov)))
	return errno
}

// splice moves a reply of n bytes from a pipe, which has them, to the device. The scheduler is not told either.
func splice(pipe int, fd uintptr, n int) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(pipe), 0, fd, 0, uintptr(n), 0)
	return errno
}

// putOutHeader writes h to b, aligned or not.
func putOutHeader(b []byte, h OutHeader) {
	copy(b, unsafe.Slice((*byte)(unsafe.Pointer(&h)), outHeaderSize))
}

// setIovec points v at b.
func setIovec(v *unix.Iovec, b []byte) {
	v.Base = unsafe.SliceData(b)
	v.SetLen(len(b))
}

// bytesOfStruct returns a copy of the bytes of v.
func bytesOfStruct[T any](v *T) []byte {
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))...)
}
