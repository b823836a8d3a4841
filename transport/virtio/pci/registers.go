package pci

import "unsafe"

// registers is a mapped structure of a device. An access is one of the width that
// the specification demands (virtio 1.2, 4.1.3.1), and is not left out, doubled or moved:
// each is a call that the compiler does not see into. Offsets are checked
// like those of any slice. The values are little-endian, as are all machines that
// Go and virtio-9p meet on.
type registers []byte

//go:noinline
func (r registers) load8(at int) uint8 { return *(*uint8)(unsafe.Pointer(&r[at : at+1][0])) }

//go:noinline
func (r registers) load16(at int) uint16 { return *(*uint16)(unsafe.Pointer(&r[at : at+2][0])) }

//go:noinline
func (r registers) load32(at int) uint32 { return *(*uint32)(unsafe.Pointer(&r[at : at+4][0])) }

//go:noinline
func (r registers) store8(at int, v uint8) { *(*uint8)(unsafe.Pointer(&r[at : at+1][0])) = v }

//go:noinline
func (r registers) store16(at int, v uint16) { *(*uint16)(unsafe.Pointer(&r[at : at+2][0])) = v }

//go:noinline
func (r registers) store32(at int, v uint32) { *(*uint32)(unsafe.Pointer(&r[at : at+4][0])) = v }

// store64 writes a 64-bit register in two halves (4.1.3.1 allows that).
func (r registers) store64(at int, v uint64) {
	r.store32(at, uint32(v))
	r.store32(at+4, uint32(v>>32))
}
