package vring

import (
	"sync/atomic"
	"unsafe"
)

// The indices of both rings have 16 bits each. Where the driver and the device
// synchronise, the 32-bit word around one is loaded or stored as a whole, which
// this side may do because the other never writes to the rest of it: flags and
// index of the available ring are the driver's, those of the used ring the
// device's (virtio 1.2, sections 2.7.6 and 2.7.8), and what lies behind an event
// index is padding. Package atomic's operations are sequentially consistent, so
// they are also the full barrier between the store of an index and the load of
// the other side's event index that section 2.7.10 asks for, on any processor. The
// words are little-endian, as the processors are that this runs on.

func load(word *uint32) uint32 { return atomic.LoadUint32(word) }

func store(word *uint32, v uint32) { atomic.StoreUint32(word, v) }

// wordAt is the word at an offset, a multiple of 4, of memory aligned to 4.
func wordAt(b []byte, at int) *uint32 {
	return (*uint32)(unsafe.Pointer(&b[at : at+4][0]))
}

// aligned reports whether b begins at a multiple of n, a power of two.
func aligned(b []byte, n uintptr) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))&(n-1) == 0
}
