package fuse

import "golang.org/x/sys/unix"

// spareBuffer is a buffer from the heap, one of a connection's few.
type spareBuffer struct {
	loop  *deviceLoop
	bytes []byte
}

func (b *spareBuffer) Bytes() []byte { return b.bytes }
func (b *spareBuffer) Release()      { b.loop.spares.Add(-1) }

// spare returns a buffer of n bytes, or nil while all spare ones are out. When the connection has ended there is always one:
// nothing is read into it any more but how it ended.
func (d *deviceLoop) spare(fd uintptr, n int) Buffer {
	if d.spares.Add(1) > mostSpares && !ended(fd) {
		d.spares.Add(-1)
		return nil
	}
	return &spareBuffer{d, make([]byte, n)}
}

// ended reports whether the connection has ended.
func ended(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd)}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&unix.POLLERR != 0
}
