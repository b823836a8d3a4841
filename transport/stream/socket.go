package stream

import (
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket is the wire of a connection with a non-blocking descriptor: the
// runtime's poller waits, never a thread. What a system call needs is kept
// here, so that a message allocates nothing.
type socket struct {
	raw          syscall.RawConn
	out          sending
	in           receiving
	moved        moving
	send1, recv1 func(fd uintptr) bool
	splice1      func(fd uintptr) bool
}

// sending is the sender's side, one send at a time.
type sending struct {
	batch *batch
	wait  bool
	err   error
	iov   [2 * batchCalls]unix.Iovec
}

// receiving is the receiver's side, one recv at a time.
type receiving struct {
	p     []byte
	ahead func() []byte
	n     int
	err   error
	iov   [2]unix.Iovec
}

func newSocket(raw syscall.RawConn) *socket {
	s := &socket{raw: raw}
	s.send1, s.recv1, s.splice1 = s.out.write, s.in.read, s.moved.move
	return s
}

func (s *socket) send(b *batch, wait bool) error {
	s.out.batch, s.out.wait, s.out.err = b, wait, nil
	if err := s.raw.Write(s.send1); err != nil {
		return err
	}
	return s.out.err
}

func (s *socket) recv(p []byte, ahead func() []byte) (int, error) {
	s.in.p, s.in.ahead, s.in.n, s.in.err = p, ahead, 0, nil
	if err := s.raw.Read(s.recv1); err != nil {
		return 0, err
	}
	return s.in.n, s.in.err
}

// write writes the batch; false asks the poller to wait for room.
func (o *sending) write(fd uintptr) bool {
	for o.batch.left() {
		parts := o.batch.parts
		for i, p := range parts {
			setVector(&o.iov[i], p)
		}
		n, errno := writev(fd, o.iov[:len(parts)])
		switch errno {
		case 0:
			o.batch.written(n)
		case unix.EINTR:
		case unix.EAGAIN:
			return !o.wait
		default:
			o.err = os.NewSyscallError("writev", errno)
			return true
		}
	}
	return true
}

// read reads once; false asks the poller to wait for something to read.
func (i *receiving) read(fd uintptr) bool {
	iov := i.iov[:0]
	for _, p := range [...][]byte{i.p, i.ahead()} {
		if len(p) > 0 {
			iov = iov[:len(iov)+1]
			setVector(&iov[len(iov)-1], p)
		}
	}
	for {
		n, errno := readv(fd, iov)
		switch errno {
		case 0:
			i.n = n
			if n == 0 {
				i.err = io.EOF
			}
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			i.err = os.NewSyscallError("readv", errno)
			return true
		}
	}
}
