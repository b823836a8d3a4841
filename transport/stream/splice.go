package stream

import (
	"errors"
	"io"
	"math"
	"os"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport"
)

// spliceFrom is the length of a payload from which a pipe is cheaper than memory:
// its system calls cost less than a copy of the payload.
const spliceFrom = 64 << 10

// maxPrefix is how long a call's Prefix may be for the payload to be spliced.
const maxPrefix = 64

// splicing is the receiver's way to put payloads into pipes.
type splicing struct {
	socket *socket // nil: the wire is none
	pipes  transport.Pipes
	// most is the largest payload worth the attempt. A payload that arrives in
	// many small pieces takes more slots than a pipe has; then it shrinks, until
	// that many were passed over.
	most   int
	passed int
	prefix [maxPrefix]byte
}

func (s *splicing) init(w wire) {
	s.socket, _ = w.(*socket)
	s.most = math.MaxInt
}

// splice receives a payload of count bytes into a pipe, if call wants that and it
// pays. It returns false when the payload is still to be received, or what came
// of it was received into call.In after all.
func (c *Conn) splice(call *transport.Call, count int) (bool, error) {
	s := &c.splicing
	if s.socket == nil || len(call.Prefix) == 0 || len(call.Prefix) > maxPrefix ||
		count != len(call.In) || count < spliceFrom || !c.in.empty() || !s.fits(count) {
		return false, nil
	}
	p := s.pipes.Get()
	if p == nil {
		s.most = 0
		return false, nil
	}
	moved, err := s.fill(p, call.Prefix, count)
	if err == nil && moved == count {
		call.N, call.Pipe = count, p
		c.stats.spliced.Add(uint64(count))
		return true, nil
	}
	if !errors.Is(err, errPipeFull) {
		p.Release(false)
		return false, err
	}
	s.most = count - 1
	if err := s.empty(p, call.Prefix, call.In[:moved]); err != nil {
		p.Release(false)
		return false, err
	}
	p.Release(true)
	if _, err := c.in.read(call.In[moved:]); err != nil {
		return false, err
	}
	c.stats.placed.Add(uint64(count))
	call.N = count
	return true, nil
}

// tryAgain is how many payloads that did not fit are passed over before one is
// tried again: the path to the server may have changed, or been in disorder.
const tryAgain = 1000

// fits reports whether a payload is likely to go into a pipe.
func (s *splicing) fits(count int) bool {
	if count <= s.most {
		return true
	}
	if s.passed++; s.passed < tryAgain {
		return false
	}
	s.most, s.passed = math.MaxInt, 0
	return true
}

// errPipeFull says that a pipe has no room for what is to come.
var errPipeFull = errors.New("stream: the pipe is full")

// fill puts prefix and the next count bytes of the stream into an empty pipe, and
// returns how many of the latter are in it.
func (s *splicing) fill(p *transport.Pipe, prefix []byte, count int) (moved int, err error) {
	_, write := p.Ends()
	if _, err := unix.Write(write, prefix); err != nil {
		return 0, os.NewSyscallError("write", err)
	}
	for moved < count && err == nil {
		var n int
		n, err = s.socket.splice(p, count-moved)
		moved += n
	}
	return moved, err
}

// empty takes prefix and then to from a pipe with nothing else in it.
func (s *splicing) empty(p *transport.Pipe, prefix, to []byte) error {
	read, _ := p.Ends()
	for _, b := range [...][]byte{s.prefix[:len(prefix)], to} {
		for len(b) > 0 {
			n, err := unix.Read(read, b)
			if err != nil {
				return os.NewSyscallError("read", err)
			}
			b = b[n:]
		}
	}
	return nil
}

// moving is the receiver's splice(2), one at a time.
type moving struct {
	pipe *transport.Pipe
	most int
	n    int
	err  error
}

// splice waits until there is something to read and moves up to most bytes of it
// into a pipe.
func (s *socket) splice(pipe *transport.Pipe, most int) (int, error) {
	s.moved.pipe, s.moved.most, s.moved.n, s.moved.err = pipe, most, 0, nil
	if err := s.raw.Read(s.splice1); err != nil {
		return 0, err
	}
	return s.moved.n, s.moved.err
}

// move moves what is there; false asks the poller to wait for more.
func (m *moving) move(fd uintptr) bool {
	_, pipe := m.pipe.Ends()
	for {
		n, errno := splice(fd, uintptr(pipe), m.most)
		switch {
		case errno == 0 && n == 0:
			m.err = io.ErrUnexpectedEOF
			return true
		case errno == 0:
			m.n = n
			return true
		case errno == unix.EINTR:
		case errno == unix.EAGAIN && m.pipe.Full():
			m.err = errPipeFull
			return true
		case errno == unix.EAGAIN:
			return false
		default:
			m.err = os.NewSyscallError("splice", errno)
			return true
		}
	}
}
