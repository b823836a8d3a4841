package virtio

import (
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/virtio/vring"
)

// Sizes of the parts of a slot's own memory.
const (
	tableRoom = maxChain * vring.DescriptorSize
	outRoom   = 2 << 10 // ninep's heads have 1 KiB of payload inside at most
	inRoom    = 4 << 10
	slotBytes = tableRoom + outRoom + inRoom
)

// chunkBytes is the size of a bounce buffer.
const chunkBytes = 64 << 10

// maxTail is the most room behind a payload's: texts of errors have 256 bytes at
// most (ERRMAX of Plan 9's libc.h; P9_ERRMAX of include/net/9p/9p.h is 128), however
// much room a call has for them.
const maxTail = 1 << 10

// shared is a piece of the ring's own memory, and where the device has it.
type shared struct {
	bytes []byte
	addr  uint64
}

// slot is room for one call on the ring.
type slot struct {
	table, out, in shared
	next           *slot // the next free one

	call      *transport.Call
	outAt     []transport.Extent // where Out lies; empty: out of reach, or there is none
	inAt      []transport.Extent // likewise of In
	outChunks []shared           // for a head, and an Out out of reach, that do not fit in out
	inChunks  []shared           // for an In out of reach, or a reply, that does not fit in in
	chunks    int                // how many of both it takes
	parts     []vring.Part       // what the device is given
	count     int                // how many descriptors of the queue that takes
	written   uint32             // how many bytes the device says to have written
	err       error              // what is wrong with them
}

// chunksOf is how many bounce buffers n bytes take.
func chunksOf(n int) int { return (n + chunkBytes - 1) / chunkBytes }

// limits are what a device bears.
type limits struct {
	extents  int // the most that a payload may lie in
	bytes    int // the longest message, with a head on top
	indirect bool
}

// plan finds out where the call's payload lies and what has to be bounced: also
// what is in more pieces than a chain of the device's may have. Where there is
// more room for a reply than any has, the rest stays out of it.
func (s *slot) plan(call *transport.Call, reach *transport.Memory, l limits) {
	s.call, s.err, s.chunks = call, nil, 0
	s.outAt, _ = reach.Locate(s.outAt[:0], call.Out)
	s.inAt, _ = reach.Locate(s.inAt[:0], call.In)
	if len(s.outAt) > l.extents {
		s.outAt = s.outAt[:0]
	}
	if len(s.inAt) > l.extents {
		s.inAt = s.inAt[:0]
	}
	parts := 2 + len(s.outAt) + len(s.inAt)
	if n := s.bouncedOut(); n > outRoom {
		s.chunks += chunksOf(n)
		parts += chunksOf(n) - 1
	}
	if n := min(s.bouncedIn(), l.bytes); n > 0 {
		s.chunks += chunksOf(n)
		parts += chunksOf(n)
	}
	if len(s.inAt) > 0 || s.bouncedIn() > 0 {
		parts++ // the tail
	}
	if s.count = parts; l.indirect {
		s.count = 1
	}
}

// bouncedOut is how many bytes of what the device reads are copied: the head,
// and the payload where it is out of reach.
func (s *slot) bouncedOut() int {
	if len(s.outAt) > 0 {
		return len(s.call.Head)
	}
	return len(s.call.Head) + len(s.call.Out)
}

// bouncedIn is how many bytes of what the device writes need bounce buffers.
func (s *slot) bouncedIn() int {
	switch {
	case s.call.In == nil && cap(s.call.Reply) > inRoom:
		return cap(s.call.Reply)
	case len(s.inAt) == 0 && transport.PayloadHeadSize+len(s.call.In)+s.tail() > inRoom:
		return len(s.call.In)
	}
	return 0
}

// tail is how much room there is behind the payload's.
func (s *slot) tail() int { return min(s.call.Tail(), maxTail) }

// fill copies what has to be copied and lists what the device is given. The
// chunks have been handed out.
func (s *slot) fill() {
	s.parts = s.parts[:0]
	s.fillOut()
	s.fillIn()
}

// fillOut lists what the device reads.
func (s *slot) fillOut() {
	call := s.call
	copied := call.Out
	if len(s.outAt) > 0 {
		copied = nil
	}
	if len(s.outChunks) == 0 {
		n := copy(s.out.bytes, call.Head)
		n += copy(s.out.bytes[n:], copied)
		s.parts = append(s.parts, vring.Part{Addr: s.out.addr, Len: uint32(n)})
	} else {
		s.scatter(call.Head, copied)
	}
	for _, e := range s.outAt {
		s.parts = append(s.parts, vring.Part{Addr: e.Addr, Len: uint32(e.Len)})
	}
	if len(copied) >= payloadThreshold {
		call.Bounced = len(copied)
	}
}

// scatter copies head and payload to the chunks, one after the other.
func (s *slot) scatter(head, payload []byte) {
	for _, chunk := range s.outChunks {
		n := copy(chunk.bytes, head)
		head = head[n:]
		m := copy(chunk.bytes[n:], payload)
		payload = payload[m:]
		s.parts = append(s.parts, vring.Part{Addr: chunk.addr, Len: uint32(n + m)})
	}
}

// fillIn lists what the device writes: PayloadHeadSize bytes, the payload's place and
// the tail; or, where these lie together anyway or there is no payload, room for
// everything. No part is empty: devices do not bear that (QEMU: "zero sized
// buffers are not allowed").
func (s *slot) fillIn() {
	call := s.call
	tail := s.tail()
	switch {
	case call.In == nil && len(s.inChunks) == 0:
		s.write(s.in.addr, cap(call.Reply))
		return
	case call.In == nil:
		s.writeChunks(cap(call.Reply))
		return
	case len(s.inAt) == 0 && len(s.inChunks) == 0:
		s.write(s.in.addr, transport.PayloadHeadSize+len(call.In)+tail)
		return
	}
	s.write(s.in.addr, transport.PayloadHeadSize)
	s.writeChunks(len(call.In))
	for _, e := range s.inAt {
		s.write(e.Addr, e.Len)
	}
	if tail > 0 {
		s.write(s.in.addr+transport.PayloadHeadSize, tail)
	}
}

// write lists n bytes for the device to write.
func (s *slot) write(addr uint64, n int) {
	s.parts = append(s.parts, vring.Part{Addr: addr, Len: uint32(n), Write: true})
}

// writeChunks lists the first n bytes of the chunks, none if there are no chunks.
func (s *slot) writeChunks(n int) {
	for _, chunk := range s.inChunks {
		here := min(n, chunkBytes)
		s.write(chunk.addr, here)
		n -= here
	}
}

// deliver completes the call's fields with what the device has written, which is the
// driver's again. Whatever a device could still change is copied before it is
// looked at.
func (s *slot) deliver() error {
	call, n := s.call, int(s.written)
	if call.In == nil {
		reply := call.Reply[:cap(call.Reply)]
		s.collect(reply[:min(n, len(reply))])
		return call.Gather(n, reply, nil)
	}
	var head [transport.PayloadHeadSize]byte
	copy(head[:], s.in.bytes[:min(n, len(head))])
	in := s.in.bytes[len(head):]
	if len(s.inAt) > 0 || len(s.inChunks) > 0 {
		s.collect(call.In[:max(0, min(n-len(head), len(call.In)))])
		return s.delivered(call.Gather(n, head[:], in[:s.tail()]))
	}
	copy(call.In[:max(0, min(n-len(head), len(call.In)))], in)
	return s.delivered(call.Gather(n, head[:], in[len(call.In):][:s.tail()]))
}

// collect copies what was written to chunks, or to the slot's own memory where
// there are none and it holds a whole reply, to b.
func (s *slot) collect(b []byte) {
	if s.call.In == nil && len(s.inChunks) == 0 {
		copy(b, s.in.bytes)
	}
	for _, chunk := range s.inChunks {
		b = b[copy(b, chunk.bytes):]
	}
}

// delivered counts what of the payload was copied.
func (s *slot) delivered(err error) error {
	if err == nil && len(s.inAt) == 0 {
		s.call.Copied = s.call.N
		if len(s.call.In) >= payloadThreshold {
			s.call.Bounced = s.call.N
		}
	}
	return err
}
