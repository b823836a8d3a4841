package server

import (
	"math/bits"
	"sync"
)

// buffer is memory for a payload or a long message. Its bytes start on a page boundary, as O_DIRECT wants it: the Go
// runtime aligns allocations of a page and more to pages.
type buffer struct {
	bytes []byte
	class int
}

// buffers are pools of buffers, one for each power of two from a page on, so that a small message does not hold
// memory for the largest. The zero value is ready. What is not used goes to the garbage collector.
type buffers struct {
	classes [bufferClasses]sync.Pool
}

// bufferClasses is one more than the class of the largest msize.
const bufferClasses = 15

func bufferClass(n int) int { return bits.Len(uint(max(n, 1)-1) / pageSize) }

// bufferSize is the memory that a buffer of n bytes really takes.
func bufferSize(n int) int { return pageSize << bufferClass(n) }

// get returns a buffer of n bytes or more, whose contents are of some earlier use.
func (p *buffers) get(n int) *buffer {
	class := bufferClass(n)
	if b, ok := p.classes[class].Get().(*buffer); ok {
		return b
	}
	return &buffer{bytes: make([]byte, pageSize<<class), class: class}
}

// put takes a buffer back; nil is ignored.
func (p *buffers) put(b *buffer) {
	if b != nil {
		p.classes[b.class].Put(b)
	}
}
