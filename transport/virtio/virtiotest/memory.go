package virtiotest

import (
	"fmt"
	"slices"
	"sync"
	"unsafe"

	"github.com/csi-9p/csi-9p/transport"
)

const (
	pageSize = 4 << 10
	hugePage = 2 << 20
	// firstAddress is where a device has its first memory. Nothing is at 0.
	firstAddress = 1 << 32
)

// Memory implements transport.Reach with memory from the Go heap. The zero value has
// each Alloc in one piece.
type Memory struct {
	pages bool // in pieces of hugePage

	mu     sync.Mutex
	next   uint64
	pieces []piece // ascending by address
}

// piece is memory that is one piece for the device.
type piece struct {
	addr  uint64
	bytes []byte
}

// Alloc implements transport.Reach.
func (m *Memory) Alloc(n int) ([]byte, func() error, error) {
	b := make([]byte, n+pageSize)
	skip := -int(uintptr(unsafe.Pointer(&b[0]))) & (pageSize - 1)
	return b[skip : skip+n : skip+n], func() error { return nil }, nil
}

// Map implements transport.Reach.
func (m *Memory) Map(b []byte) (extents []transport.Extent, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next = max(m.next, firstAddress)
	size := len(b)
	if m.pages {
		size = hugePage
	}
	for left := b; len(left) > 0; {
		here := left[:min(size, len(left))]
		left = left[len(here):]
		m.pieces = append(m.pieces, piece{addr: m.next, bytes: here})
		extents = append(extents, transport.Extent{Addr: m.next, Len: len(here)})
		m.next += uint64(len(here)+hugePage-1)/hugePage*hugePage + hugePage
	}
	return extents, nil
}

// unmap ends the reach of the device.
func (m *Memory) unmap() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pieces = nil
}

// at is the memory of n bytes at an address.
func (m *Memory) at(addr uint64, n int) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, exact := slices.BinarySearchFunc(m.pieces, addr, func(p piece, a uint64) int {
		switch {
		case p.addr < a:
			return -1
		case p.addr > a:
			return 1
		}
		return 0
	})
	if !exact {
		i--
	}
	if i >= 0 {
		p := m.pieces[i]
		if skip := addr - p.addr; skip <= uint64(len(p.bytes)) && uint64(n) <= uint64(len(p.bytes))-skip {
			return p.bytes[skip : skip+uint64(n)], nil
		}
	}
	return nil, fmt.Errorf("no memory of %d bytes at %#x", n, addr)
}
