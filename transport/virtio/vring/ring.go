// Package vring is the driver's side of a split virtqueue (virtio 1.2, section
// 2.7), as memory that a device shares and nothing else.
//
// What the device can write is read once and believed only as far as it agrees
// with what the driver has kept for itself.
package vring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// ErrDevice is wrapped by the errors of a device that breaks the rules of the
// queue. After one the queue is good for nothing but a reset.
var ErrDevice = errors.New("the device broke the rules of the virtqueue")

// Ring is a queue. It is not safe for concurrent use, but for Pending, which
// may be called beside all but Next.
type Ring struct {
	size  int
	event bool // event indices are in use

	desc, avail, used     []byte
	availWord, usedWord   *uint32 // flags and index
	usedEvent, availEvent *uint32 // of the driver, in the available ring; of the device, in the used one
	flags                 uint16  // of the available ring
	availIndex, usedIndex uint16  // offered; taken back
	notified              uint16  // availIndex when Kick was last asked
	free                  []uint16
	chains                []chain // by head
	outstanding           int
}

// chain is what was offered under a head.
type chain struct {
	parts []uint16 // the descriptors, in order; empty: none is outstanding
	room  uint32   // bytes that the device may write
}

// Options shape a Ring.
type Options struct {
	// Size is how many descriptors there are, a power of two.
	Size int
	// EventIndex says that VIRTIO_F_EVENT_IDX was agreed on.
	EventIndex bool
}

// New makes a queue of memory, Bytes of it at least, zeroed and aligned to 64
// bytes. The Ring keeps it.
func New(memory []byte, o Options) (*Ring, error) {
	if o.Size < 2 || o.Size > MaxSize || bits.OnesCount(uint(o.Size)) != 1 {
		return nil, fmt.Errorf("vring: a queue of %d descriptors, it takes a power of two up to %d", o.Size, MaxSize)
	}
	avail, used, end := offsets(o.Size)
	if len(memory) < end || !aligned(memory, usedAlign) {
		return nil, fmt.Errorf("vring: %d bytes of memory for a queue that takes %d, aligned to %d", len(memory), end, usedAlign)
	}
	r := &Ring{
		size: o.Size, event: o.EventIndex,
		desc: memory[:avail], avail: memory[avail:used], used: memory[used:end],
		free: make([]uint16, o.Size), chains: make([]chain, o.Size),
	}
	r.availWord, r.usedWord = wordAt(r.avail, 0), wordAt(r.used, 0)
	r.usedEvent = wordAt(r.avail, ringHead+o.Size*availEntry)
	r.availEvent = wordAt(r.used, ringHead+o.Size*usedElement)
	for i := range r.free {
		r.free[i] = uint16(o.Size - 1 - i) // the lowest first
	}
	return r, nil
}

// Offsets of the available and the used ring in the memory; the descriptors are
// at 0.
func (r *Ring) Offsets() (avail, used int) {
	avail, used, _ = offsets(r.size)
	return avail, used
}

// Free is how many descriptors are not in use.
func (r *Ring) Free() int { return len(r.free) }

// Outstanding is how many chains the device has.
func (r *Ring) Outstanding() int { return r.outstanding }

// Add offers the parts, each in a descriptor of the queue's own, those to read
// before those to write; there must be as many free. It returns the head by
// which Next will tell of them.
func (r *Ring) Add(parts []Part) (head uint16) {
	head = r.free[len(r.free)-1]
	c := &r.chains[head]
	c.room = Room(parts)
	for range parts {
		c.parts = append(c.parts, r.free[len(r.free)-1])
		r.free = r.free[:len(r.free)-1]
	}
	for i, p := range parts {
		flags, next := uint16(0), uint16(0)
		if i < len(parts)-1 {
			flags, next = flagNext, c.parts[i+1]
		}
		put(r.desc, int(c.parts[i]), p, flags, next)
	}
	r.offer(head)
	return head
}

// AddTable offers the parts of an indirect table, that PutTable has written to
// where table says, of which the device may write room bytes. It takes one
// descriptor, which must be free.
func (r *Ring) AddTable(table Part, room uint32) (head uint16) {
	head = r.free[len(r.free)-1]
	r.free = r.free[:len(r.free)-1]
	c := &r.chains[head]
	c.parts, c.room = append(c.parts, head), room
	put(r.desc, int(head), table, flagIndirect, 0)
	r.offer(head)
	return head
}

// offer makes a chain available (section 2.7.13).
func (r *Ring) offer(head uint16) {
	at := ringHead + int(r.availIndex)&(r.size-1)*availEntry
	binary.LittleEndian.PutUint16(r.avail[at:], head)
	r.availIndex++
	r.outstanding++
	r.storeAvail()
}

// storeAvail publishes flags and index of the available ring.
func (r *Ring) storeAvail() { store(r.availWord, uint32(r.flags)|uint32(r.availIndex)<<16) }

// Kick reports whether the device wants to be notified of what was added since
// Kick was last called (section 2.7.10).
func (r *Ring) Kick() bool {
	before := r.notified
	r.notified = r.availIndex
	if before == r.availIndex {
		return false
	}
	if r.event {
		event := uint16(load(r.availEvent))
		return r.availIndex-event-1 < r.availIndex-before
	}
	return load(r.usedWord)&usedNoNotify == 0
}

// Pending reports whether the device has used something that Next has not told
// of.
func (r *Ring) Pending() bool { return uint16(load(r.usedWord)>>16) != r.usedIndex }

// Next takes the next chain that the device has used: its head and how many
// bytes the device says to have written. Not ok: there is none. The error wraps
// ErrDevice.
func (r *Ring) Next() (head uint16, written uint32, ok bool, err error) {
	index := uint16(load(r.usedWord) >> 16)
	switch ahead := int(index - r.usedIndex); {
	case ahead == 0:
		return 0, 0, false, nil
	case ahead > r.outstanding:
		return 0, 0, false, fmt.Errorf("%w: it returned %d elements of %d", ErrDevice, ahead, r.outstanding)
	}
	e := r.used[ringHead+int(r.usedIndex)&(r.size-1)*usedElement:]
	id, written := binary.LittleEndian.Uint32(e), binary.LittleEndian.Uint32(e[4:])
	if id >= uint32(r.size) || len(r.chains[id].parts) == 0 {
		return 0, 0, false, fmt.Errorf("%w: it returned element %d, which it does not have", ErrDevice, id)
	}
	c := &r.chains[id]
	if written > c.room {
		return 0, 0, false, fmt.Errorf("%w: it wrote %d bytes where %d were offered", ErrDevice, written, c.room)
	}
	r.free = append(r.free, c.parts...)
	c.parts = c.parts[:0]
	r.usedIndex++
	r.outstanding--
	return uint16(id), written, true, nil
}

// Arm asks for an interrupt when the device uses the next element, and reports
// whether it has used one already: then there may be no interrupt for that.
func (r *Ring) Arm() bool {
	if r.event {
		store(r.usedEvent, uint32(r.usedIndex))
	} else {
		r.flags &^= availNoInterrupt
		r.storeAvail()
	}
	return r.Pending()
}

// Disarm asks for no interrupts until Arm. One may come nevertheless.
func (r *Ring) Disarm() {
	if !r.event { // with it one interrupt answers one Arm
		r.flags |= availNoInterrupt
		r.storeAvail()
	}
}
