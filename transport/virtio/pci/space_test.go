package pci_test

import (
	"encoding/binary"
	"io"
)

// Where the structures are in a space of newSpace, as in QEMU's modern device.
const (
	spaceBAR       = 4
	commonAt       = 0x0000
	isrAt          = 0x1000
	deviceAt       = 0x2000
	notifyAt       = 0x3000
	structureSize  = 0x1000
	spaceBARSize   = 0x4000
	capMSIX        = 0x40
	capISR         = 0x4c
	capDevice      = 0x5c
	capNotify      = 0x6c
	capWindow      = 0x80
	capCommon      = 0x94
	modernMultiply = 4
)

// space is a config space.
type space []byte

// newSpace makes that of a modern device with two vectors.
func newSpace() space {
	s := make(space, 256)
	binary.LittleEndian.PutUint16(s[0:], 0x1af4)
	binary.LittleEndian.PutUint16(s[2:], 0x1049)
	binary.LittleEndian.PutUint16(s[6:], 1<<4)
	s[0x34] = capMSIX
	s.capability(capMSIX, capISR, 0x11, 1, 0)
	s.virtio(capISR, capDevice, 16, 3, isrAt)
	s.virtio(capDevice, capNotify, 16, 4, deviceAt)
	s.virtio(capNotify, capWindow, 20, 2, notifyAt)
	binary.LittleEndian.PutUint32(s[capNotify+16:], modernMultiply)
	s.virtio(capWindow, capCommon, 20, 5, 0)
	s.virtio(capCommon, 0, 16, 1, commonAt)
	return s
}

// capability puts a capability's first four bytes.
func (s space) capability(at, next, id, third, fourth byte) {
	copy(s[at:], []byte{id, next, third, fourth})
}

// virtio puts a virtio capability of a page in the BAR.
func (s space) virtio(at, next, length, kind byte, offset uint32) {
	s.capability(at, next, 9, length, kind)
	s[at+4] = spaceBAR
	s.place(at, offset, structureSize)
}

// place changes where a structure is.
func (s space) place(at byte, offset, length uint32) {
	binary.LittleEndian.PutUint32(s[at+8:], offset)
	binary.LittleEndian.PutUint32(s[at+12:], length)
}

// windowed is a config space whose configuration access capability answers for a BAR.
type windowed struct {
	space
	bar []byte
}

func (w windowed) ReadAt(p []byte, at int64) (int, error) {
	if at == capWindow+16 {
		offset := binary.LittleEndian.Uint32(w.space[capWindow+8:])
		length := binary.LittleEndian.Uint32(w.space[capWindow+12:])
		if w.space[capWindow+4] != spaceBAR || int(length) != len(p) {
			return 0, io.ErrUnexpectedEOF
		}
		return copy(p, w.bar[offset:]), nil
	}
	n := copy(p, w.space[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (w windowed) WriteAt(p []byte, at int64) (int, error) { return copy(w.space[at:], p), nil }
