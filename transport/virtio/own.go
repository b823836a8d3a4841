package virtio

import (
	"fmt"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/virtio/vring"
)

// leastChunks is how many bounce buffers there are at least.
const leastChunks = 128

// own is the memory that only the connection uses: the queue, the slots and the
// bounce buffers, one after the other.
type own struct {
	bytes   []byte
	extents []transport.Extent
	used    int
}

// allocate makes it and lets the device reach it.
func (c *Conn) allocate(queue int) (*own, error) {
	n := roundUp(vring.Bytes(queue), chunkBytes) + roundUp(c.slotCount(queue)*slotBytes, chunkBytes) + c.chunkCount()*chunkBytes
	b, free, err := c.device.Alloc(n)
	if err != nil {
		return nil, fmt.Errorf("memory for its queue: %w", err)
	}
	c.free = free
	extents, err := c.device.Map(b)
	if err != nil {
		return nil, fmt.Errorf("mapping the memory for its queue: %w", err)
	}
	return &own{bytes: b, extents: extents}, nil
}

// slotCount is how many calls are on the queue at most.
func (c *Conn) slotCount(queue int) int {
	if c.limits.indirect {
		return queue
	}
	return queue / urgentParts
}

// chunkCount is how many bounce buffers there are: enough for two of the
// largest messages.
func (c *Conn) chunkCount() int { return max(leastChunks, 2*chunksOf(c.limits.bytes+outRoom)) }

// carve makes the slots and the bounce buffers.
func (c *Conn) carve(o *own) error {
	for range c.slotCount(len(c.heads)) {
		whole, err := o.take(slotBytes, slotBytes)
		if err != nil {
			return err
		}
		s := &slot{next: c.slots, parts: make([]vring.Part, 0, maxChain)}
		s.table, whole = whole.cut(tableRoom)
		s.out, s.in = whole.cut(outRoom)
		c.slots = s
	}
	c.chunks = make([]shared, c.chunkCount())
	for i := range c.chunks {
		var err error
		if c.chunks[i], err = o.take(chunkBytes, chunkBytes); err != nil {
			return err
		}
	}
	return nil
}

// take returns the next n bytes from a multiple of align on, which must be one
// piece for the device.
func (o *own) take(n, align int) (shared, error) {
	at := roundUp(o.used, align)
	o.used = at + n
	start := 0
	for _, e := range o.extents {
		if at >= start && o.used <= start+e.Len {
			return shared{bytes: o.bytes[at:o.used:o.used], addr: e.Addr + uint64(at-start)}, nil
		}
		start += e.Len
	}
	return shared{}, fmt.Errorf("%w: it reaches memory in pieces smaller than %d bytes", ErrUnsuitable, n)
}

// cut returns the first n bytes, and the others.
func (s shared) cut(n int) (first, rest shared) {
	return shared{bytes: s.bytes[:n:n], addr: s.addr}, shared{bytes: s.bytes[n:], addr: s.addr + uint64(n)}
}

func roundUp(n, unit int) int { return (n + unit - 1) / unit * unit }
