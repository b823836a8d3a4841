package ninep

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// buffer is the memory of a message that has its payload inside. It is the message's while that is under way or waits for its
// turn, so that all of them together are bounded by what callers lend: each has less than twice the message's payload, or 1 KiB.
type buffer struct {
	bytes []byte
	class int
}

// smallestBuffer is the payload of the first class, as a power of two. Each class has twice the payload of the one before, and
// room for a head: 1 MiB of payload does not cost 2 MiB.
const smallestBuffer = 10

// buffers are those at rest, by class, up to the largest message that size[4] can tell of.
var buffers [32 - smallestBuffer + 1]sync.Pool

// takeBuffer returns a buffer for a message of n bytes.
func takeBuffer(n int) *buffer {
	class := max(0, bits.Len(uint(max(0, n-IOHeaderSize-1)))-smallestBuffer)
	if b, ok := buffers[class].Get().(*buffer); ok {
		return b
	}
	return &buffer{bytes: make([]byte, 1<<(class+smallestBuffer)+IOHeaderSize), class: class}
}

// freeBuffer gives the call's buffer back, if it has one. The call is nobody else's.
func (c *call) freeBuffer() {
	if b := c.buffer; b != nil {
		c.buffer, c.Head, c.Reply = nil, nil, nil
		buffers[b.class].Put(b)
	}
}

// carry has the message take data along, apart from its head or copied behind it.
func (c *call) carry(data []byte, apart bool) {
	if apart {
		c.Out = data
		return
	}
	if size := len(c.Head) + len(data); size > cap(c.Head) {
		c.buffer = takeBuffer(size)
		c.Head = append(c.buffer.bytes[:0], c.Head...)
	}
	c.Head, c.Inside = append(c.Head, data...), len(data)
}

// receiveInside makes room for a reply with n bytes of payload inside.
func (c *call) receiveInside(n int) {
	size := max(ReadHeadSize+n, ErrorRoom)
	c.buffer = takeBuffer(size)
	c.In, c.Reply, c.Inside = nil, c.buffer.bytes[:0:size], n
}

// unpack checks a reply that has its payload inside, and copies that to data.
func (c *call) unpack(body, data []byte) (int, error) {
	size := binary.LittleEndian.Uint32(c.Reply)
	if int64(size) != int64(len(c.Reply)) || len(body) < 4 || len(body)-4 > c.Inside ||
		int64(binary.LittleEndian.Uint32(body)) != int64(len(body)-4) {
		return 0, c.malformed("%w: %v of %d bytes, %d bytes of data asked", ErrMalformed, MsgType(c.Reply[4]), len(c.Reply), c.Inside)
	}
	return copy(data, body[4:]), nil
}
