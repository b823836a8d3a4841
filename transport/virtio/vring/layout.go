package vring

import "encoding/binary"

// Sizes and offsets of a split virtqueue (virtio 1.2, sections 2.7.5, 2.7.6,
// 2.7.8; struct vring_desc, vring_avail and vring_used of
// include/uapi/linux/virtio_ring.h).
const (
	// DescriptorSize is addr[8] len[4] flags[2] next[2].
	DescriptorSize = 16
	// MaxSize is the largest queue.
	MaxSize = 1 << 15

	ringHead    = 4 // flags[2] idx[2], before the elements of either ring
	availEntry  = 2 // the head of a chain
	usedElement = 8 // id[4] len[4]
	// eventWord is what either ring ends in: the event index, and as much padding.
	eventWord = 4
	// usedAlign keeps the used ring off the cache lines of the available one.
	usedAlign = 64
)

// Flags of descriptors.
const (
	flagNext     = 1
	flagWrite    = 2
	flagIndirect = 4
)

// Flags of rings, without the event index.
const (
	availNoInterrupt = 1
	usedNoNotify     = 1
)

// Offsets of a queue's parts in its memory.
func offsets(size int) (avail, used, end int) {
	avail = size * DescriptorSize
	used = avail + ringHead + size*availEntry + eventWord
	used = (used + usedAlign - 1) / usedAlign * usedAlign
	return avail, used, used + ringHead + size*usedElement + eventWord
}

// Bytes is how much memory a queue of this size takes.
func Bytes(size int) int {
	_, _, end := offsets(size)
	return end
}

// Part is one descriptor: memory as the device addresses it, which the device
// writes or else reads.
type Part struct {
	Addr  uint64
	Len   uint32
	Write bool
}

// put writes the descriptor at index i of a table.
func put(table []byte, i int, p Part, flags, next uint16) {
	if p.Write {
		flags |= flagWrite
	}
	d := table[i*DescriptorSize:][:DescriptorSize]
	binary.LittleEndian.PutUint64(d, p.Addr)
	binary.LittleEndian.PutUint32(d[8:], p.Len)
	binary.LittleEndian.PutUint16(d[12:], flags)
	binary.LittleEndian.PutUint16(d[14:], next)
}

// PutTable writes an indirect table of the parts, one at least, those to read
// before those to write (section 2.7.5.3), and returns its length in bytes.
func PutTable(table []byte, parts []Part) int {
	for i, p := range parts {
		flags := uint16(flagNext)
		if i == len(parts)-1 {
			flags = 0
		}
		put(table, i, p, flags, uint16(i+1))
	}
	return len(parts) * DescriptorSize
}

// Room is how many bytes of the parts are the device's to write.
func Room(parts []Part) (n uint32) {
	for _, p := range parts {
		if p.Write {
			n += p.Len
		}
	}
	return n
}
