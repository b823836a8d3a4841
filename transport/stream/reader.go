package stream

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/csi-9p/csi-9p/transport"
)

const (
	// readAhead is the size of the buffer that many small replies arrive in
	// with one system call.
	readAhead = 64 << 10
	// placeFrom is the length of a payload from which a system call of its own
	// is cheaper than the copy out of the buffer.
	placeFrom = 16 << 10
)

// reader is the receiving side's buffer.
type reader struct {
	wire  wire
	large atomic.Int32 // outstanding calls that expect placeFrom bytes or more
	buf   []byte
	r, w  int // buf[r:w] has been read from the wire and not been taken
	ahead func() []byte
}

func newReader(w wire) *reader {
	in := &reader{wire: w, buf: make([]byte, readAhead)}
	in.ahead = in.room
	return in
}

// empty reports whether nothing has been read ahead.
func (in *reader) empty() bool { return in.r == in.w }

// room is what may be read beyond what is needed now. While a large payload can
// come it is no more than a head, so that the payload itself is read to where
// it goes.
func (in *reader) room() []byte {
	room := in.buf[in.w:]
	if in.large.Load() > 0 {
		room = room[:max(0, transport.PayloadHeadSize-(in.w-in.r))]
	}
	return room
}

// peek returns the next n bytes, PayloadHeadSize at most, and leaves them. At
// the end of the stream the error is io.EOF, within a head
// io.ErrUnexpectedEOF.
func (in *reader) peek(n int) ([]byte, error) {
	if in.r+transport.PayloadHeadSize > len(in.buf) || in.r == in.w {
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
	}
	for in.w-in.r < n {
		got, err := in.wire.recv(nil, in.ahead)
		if errors.Is(err, io.EOF) && in.w > in.r {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		in.w += got
	}
	return in.buf[in.r : in.r+n], nil
}

// read fills p, first with what is buffered, and returns how much that was. The
// rest comes straight from the wire.
func (in *reader) read(p []byte) (copied int, err error) {
	copied = copy(p, in.buf[in.r:in.w])
	in.r += copied
	if in.r == in.w {
		in.r, in.w = 0, 0
	}
	for p = p[copied:]; len(p) > 0; {
		n, err := in.wire.recv(p, in.ahead)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return copied, err
		}
		in.w = max(0, n-len(p))
		p = p[min(n, len(p)):]
	}
	return copied, nil
}
