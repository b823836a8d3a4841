package work

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/bench/measure"
)

// A request to the peer that copies is a header of three numbers, little endian: 1 for a write or 0 for a read, the bytes of
// it, which follow a write, and the size of the area that they are of. A read is answered by so many bytes, a write by an
// answer of answerSize.
const (
	requestSize = 12
	answerSize  = 8
)

// Plain is the copy of as many bytes as reads or writes carry over a socket, from and to as much memory, with as many requests
// under way: what nothing that asks over this socket exceeds. There is no file.
type Plain struct {
	Shape
	Network, Address string // where Copy listens, as in net.Dial
}

// Open connects.
func (p Plain) Open() (*Work, error) {
	conn, err := net.Dial(p.Network, p.Address)
	if err != nil {
		return nil, err
	}
	file, err := blocking(conn)
	if err != nil {
		return nil, err
	}
	memory, free, err := buffers(max(p.InFlight, 1), requestSize+max(p.Size, answerSize))
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	for _, m := range memory {
		binary.LittleEndian.PutUint32(m, map[bool]uint32{true: 1}[p.Write])
		binary.LittleEndian.PutUint32(m[4:], uint32(p.Size))
		binary.LittleEndian.PutUint32(m[8:], uint32(max(p.Area, int64(p.Size))))
	}
	return &Work{Slice: p.slice(int(file.Fd()), memory), Close: func() error { return errors.Join(file.Close(), free()) }}, nil
}

// blocking takes the socket of a connection out of Go's poller, whose goroutine switches a limit has no use for.
func blocking(conn net.Conn) (*os.File, error) {
	defer conn.Close()
	c, ok := conn.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("%T has no socket", conn)
	}
	file, err := c.File()
	if err != nil {
		return nil, err
	}
	return file, unix.SetNonblock(int(file.Fd()), false)
}

// slice keeps as many requests under way as there is memory for, each in memory of its own.
func (p Plain) slice(fd int, memory [][]byte) measure.Slice {
	out, in := requestSize, p.Size
	if p.Write {
		out, in = requestSize+p.Size, answerSize
	}
	inFlight := int64(len(memory))
	return func(ctx context.Context, length time.Duration) (s measure.Sample, err error) {
		sent := make([]time.Time, inFlight) // when each request under way was, in turn
		begin := time.Now()
		for asked := int64(0); s.Operations < asked || asked == 0; {
			for now := time.Now(); asked < s.Operations+inFlight && (asked == 0 || now.Sub(begin) < length && ctx.Err() == nil); asked++ {
				sent[asked%inFlight] = now
				if err := send(fd, memory[asked%inFlight][:out]); err != nil {
					return s, err
				}
			}
			if err := receiveAll(fd, memory[s.Operations%inFlight][requestSize:][:in]); err != nil {
				return s, err
			}
			s.Latencies.Add(time.Since(sent[s.Operations%inFlight]))
			s.Operations++
		}
		s.Elapsed = time.Since(begin)
		s.Bytes = s.Operations * int64(p.Size)
		return s, nil
	}
}

// Copy is the peer: it answers requests on every connection, each from an area of its own, until the listener is closed.
func Copy(l net.Listener) error {
	var tasks errgroup.Group
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return tasks.Wait()
		}
		if err != nil {
			return err
		}
		tasks.Go(func() error { return answer(conn) })
	}
}

// answer answers the requests of one connection until its other end is closed.
func answer(conn net.Conn) error {
	file, err := blocking(conn)
	if err != nil {
		return err
	}
	defer file.Close()
	fd := int(file.Fd())
	var header [requestSize]byte
	if err := receiveAll(fd, header[:]); err != nil {
		return ignoreEOF(err)
	}
	area, free, err := buffers(1, int(binary.LittleEndian.Uint32(header[8:])))
	if err != nil {
		return err
	}
	defer free() //nolint:errcheck // only a wrong argument fails
	for at := 0; err == nil; {
		size := int(binary.LittleEndian.Uint32(header[4:]))
		if at+size > len(area[0]) {
			at = 0
		}
		block := area[0][at:][:size]
		at += size
		if binary.LittleEndian.Uint32(header[:]) == 0 {
			err = send(fd, block)
		} else if err = receiveAll(fd, block); err == nil {
			err = send(fd, header[:answerSize])
		}
		if err == nil {
			err = receiveAll(fd, header[:])
		}
	}
	return ignoreEOF(err)
}

// ignoreEOF takes the end of a connection for no error.
func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func send(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.SendmsgN(fd, b, nil, nil, unix.MSG_NOSIGNAL)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("sendmsg", err)
		}
		b = b[max(n, 0):]
	}
	return nil
}

// receiveAll fills b; io.EOF: the other end is closed.
func receiveAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, _, err := unix.Recvfrom(fd, b, unix.MSG_WAITALL)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("recvfrom", err)
		}
		if n == 0 && err == nil {
			return io.EOF
		}
		b = b[max(n, 0):]
	}
	return nil
}
