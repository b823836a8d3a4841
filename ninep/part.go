package ninep

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// partRoom is the room for the head of Rread, for Rwrite, and for an error in any dialect.
	partRoom = ErrorRoom
	// partInside is how many bytes of payload a part's own head has room for.
	partInside = 1024
)

// part moves bytes of an IO, one message at a time: a piece of what is left is its own until the server has done
// all of it, then it takes the next one. It lives until the IO is done.
type part struct {
	call
	io       *IO
	pos, end int // what is left of its piece, in io.Buf
	head     [WriteHeadSize + partInside]byte
	reply    [partRoom]byte
	patience patience
	nextPart *part

	// The rest is guarded by io.mu.
	on     *link    // the link it is on its way on; nil: none
	parked *parking // where it waits for a link; nil: nowhere
}

var parts = sync.Pool{New: func() any {
	p := new(part)
	p.receiver = p
	return p
}}

// take takes the next piece of the IO. The caller holds io.mu.
func (p *part) take() {
	p.pos = p.io.next
	p.end = min(len(p.io.Buf), p.pos+p.io.fid.maxIO())
	p.io.next = p.end
}

// maxIO is the most bytes of one Tread or Twrite: a server's iounit counts if it is sensible.
func (f *Fid) maxIO() int {
	most := f.MaxPayload()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.iounit >= MinMsize {
		most = min(most, int(f.iounit))
	}
	return most
}

// send sends the next message, on the current link or when there is one again.
func (p *part) send() {
	s := p.io.fid.session
	l := s.current.Load()
	if l == nil {
		s.park(p)
		return
	}
	if errno := p.io.fid.failure(); errno != 0 {
		p.finish(errno)
		return
	}
	p.encode(l)
	p.io.mu.Lock()
	if p.io.canceled {
		p.io.mu.Unlock()
		p.finish(context.Canceled)
		return
	}
	p.on, p.parked = l, nil
	p.io.mu.Unlock()
	l.submit(&p.call)
}

// failure is why a fid that is pinned cannot be used after all.
func (f *Fid) failure() unix.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// encode makes the message: Tread and Twrite differ in their type and in whose the count bytes are.
func (p *part) encode(l *link) {
	f := p.io.fid
	data := p.io.Buf[p.pos:min(p.end, p.pos+f.maxIO())]
	size, kind := WriteHeadSize, TypeTread
	if p.io.write {
		size, kind = WriteHeadSize+len(data), TypeTwrite
	}
	h := p.head[:0]
	h = binary.LittleEndian.AppendUint32(h, uint32(size))
	h = append(h, byte(kind), 0, 0) // the tag is the link's to fill in
	h = binary.LittleEndian.AppendUint32(h, uint32(f.number))
	h = binary.LittleEndian.AppendUint64(h, uint64(p.io.Offset)+uint64(p.pos))
	h = binary.LittleEndian.AppendUint32(h, uint32(len(data)))
	p.volume, p.Flow, p.Bulk = f.volume, f.volume.options.Flow, true
	p.Head, p.In, p.Out, p.Inside, p.Prefix, p.Reply = h, nil, nil, 0, nil, p.reply[:]
	switch {
	case p.io.write:
		p.carry(data, f.volume.apart(l, len(data)))
	case f.volume.options.ZeroCopy == ZeroCopyOff:
		p.receiveInside(len(data))
	default:
		if p.In = data; len(data) == len(p.io.Buf) {
			p.Prefix = p.io.Prefix
		}
	}
}

// received implements [receiver].
func (p *part) received() {
	io := p.io
	io.mu.Lock()
	p.on = nil
	io.mu.Unlock()
	n, err := p.outcome()
	p.freeBuffer()
	switch {
	case p.Pipe == nil:
	case err == nil:
		io.Pipe = p.Pipe // this part is the only one
	default:
		p.Pipe.Release(false)
	}
	switch {
	case isLost(err):
		s := io.fid.session
		s.lost(p.link)
		if p.patience.over(s.lostTimeout(io.LostTimeout)) {
			p.finish(s.lostError())
			return
		}
		s.park(p)
	case errors.Is(err, errUnsent), errors.Is(err, errForgotten):
		p.finish(context.Canceled)
	case err != nil:
		p.finish(err)
	case n == 0:
		p.finish(nil)
	default:
		p.pos += n
		p.patience = patience{}
		if p.ended() {
			p.finish(nil)
			return
		}
		p.proceed()
	}
}

// outcome is how many bytes the message has moved: 0 only at the end of a file.
func (p *part) outcome() (int, error) {
	if !p.io.write {
		return p.payload(p.io.Buf[p.pos:])
	}
	body, err := p.answer()
	if err != nil {
		return 0, err
	}
	if len(body) != 4 {
		return 0, p.malformed("%w: Rwrite with a body of %d bytes", ErrMalformed, len(body))
	}
	asked := binary.LittleEndian.Uint32(p.Head[WriteHeadSize-4:])
	n := binary.LittleEndian.Uint32(body)
	if n > asked {
		return 0, p.malformed("%w: %d bytes written of %d", ErrMalformed, n, asked)
	}
	if n == 0 {
		return 0, errNoProgress
	}
	return int(n), nil
}

// ended reports whether a read has come to where the file ends as far as its caller knows.
func (p *part) ended() bool {
	return !p.io.write && p.io.End > 0 && p.pos < p.end && p.io.Offset+int64(p.pos) == p.io.End
}

// proceed goes on with the piece, or with the next one.
func (p *part) proceed() {
	io := p.io
	if p.pos == p.end {
		io.mu.Lock()
		more := io.next < io.stop && !io.canceled
		if more {
			p.take()
		}
		io.mu.Unlock()
		if !more {
			io.leave()
			return
		}
	}
	p.send()
}

// finish ends the part before the end of its piece.
func (p *part) finish(cause error) {
	p.io.cut(p.pos, cause)
	p.io.leave()
}

// cancel asks for an early end of the message under way. The IO is marked as canceled and kept by the caller.
func (p *part) cancel() {
	p.io.mu.Lock()
	on, parked := p.on, p.parked
	p.io.mu.Unlock()
	switch {
	case on != nil:
		if on.cancel(&p.call) {
			p.finish(context.Canceled)
		}
	case parked != nil:
		if p.io.fid.session.unpark(parked) {
			p.finish(context.Canceled)
		}
	}
}

func (p *part) recycle() {
	p.freeBuffer()
	p.io, p.nextPart, p.volume, p.In, p.Out, p.Flow, p.Prefix, p.Pipe = nil, nil, nil, nil, nil, nil, nil, nil
	parts.Put(p)
}
