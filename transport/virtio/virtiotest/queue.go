package virtiotest

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/virtio"
)

// The split virtqueue as virtio 1.2, section 2.7 has it, from the device's side.
const (
	flagNext     = 1
	flagWrite    = 2
	flagIndirect = 4

	noInterrupt = 1 // of the available ring
	noNotify    = 1 // of the used ring

	// maxSegments is how many descriptors QEMU takes in a chain
	// (VIRTQUEUE_MAX_SIZE).
	maxSegments = 1024
)

// queue is the device's side of the queue.
type queue struct {
	memory            *Memory
	size              uint16
	event, indirect   bool
	desc, avail, used []byte
	seen, put         uint16              // available elements taken, used elements put
	told              uint16              // put, when an interrupt was last thought of
	elements          map[uint16]*Element // with the server, by tag
}

func newQueue(m *Memory, q virtio.Queue, features uint64) (*queue, error) {
	d := &queue{
		memory: m, size: uint16(q.Size), event: features&virtio.FeatureEventIndex != 0, indirect: features&virtio.FeatureIndirect != 0,
		elements: map[uint16]*Element{},
	}
	for _, part := range []struct {
		at     *[]byte
		addr   uint64
		n      int
		aligns uint64
	}{
		{&d.desc, q.Desc, 16 * q.Size, 16}, {&d.avail, q.Avail, 6 + 2*q.Size, 2}, {&d.used, q.Used, 6 + 8*q.Size, 4},
	} {
		b, err := m.at(part.addr, part.n+2) // and the padding that makes the last word whole
		if err != nil || part.addr%part.aligns != 0 {
			return nil, fmt.Errorf("a part of the queue at %#x: %w", part.addr, err)
		}
		*part.at = b
	}
	return d, nil
}

func word(b []byte, at int) *uint32 { return (*uint32)(unsafe.Pointer(&b[at])) }

// offered takes the next head that the driver offers.
func (q *queue) offered() (head uint16, ok bool) {
	index := uint16(atomic.LoadUint32(word(q.avail, 0)) >> 16)
	if index == q.seen {
		return 0, false
	}
	head = binary.LittleEndian.Uint16(q.avail[4+2*int(q.seen&(q.size-1)):])
	q.seen++
	return head, true
}

// sleep asks to be notified, and reports whether there is something already.
func (q *queue) sleep() bool {
	if q.event {
		atomic.StoreUint32(word(q.used, 4+8*int(q.size)), uint32(q.seen))
	} else {
		q.publish(0)
	}
	return uint16(atomic.LoadUint32(word(q.avail, 0))>>16) != q.seen
}

// wake asks not to be notified for now.
func (q *queue) wake() {
	if !q.event {
		q.publish(noNotify)
	}
}

func (q *queue) publish(flags uint32) { atomic.StoreUint32(word(q.used, 0), flags|uint32(q.put)<<16) }

// hand puts an element into the used ring.
func (q *queue) hand(id, n uint32) {
	e := q.used[4+8*int(q.put&(q.size-1)):]
	binary.LittleEndian.PutUint32(e, id)
	binary.LittleEndian.PutUint32(e[4:], n)
	q.put++
	q.publish(atomic.LoadUint32(word(q.used, 0)) & 0xffff)
}

// interrupts reports whether the driver wants an interrupt for what was put since
// this was last asked.
func (q *queue) interrupts() bool {
	before := q.told
	q.told = q.put
	if q.event {
		event := uint16(atomic.LoadUint32(word(q.avail, 4+2*int(q.size))))
		return q.put-event-1 < q.put-before
	}
	return atomic.LoadUint32(word(q.avail, 0))&noInterrupt == 0
}

// chain reads the descriptors of a head: what there is to read, which it appends
// to request, and where there is room to write, which it appends to writable.
func (q *queue) chain(head uint16, request []byte, writable [][]byte) ([]byte, [][]byte, error) {
	table, next, inside := q.desc, head, false
	for segments := 1; ; segments++ {
		if int(next) >= len(table)/16 {
			return nil, nil, fmt.Errorf("descriptor %d of %d", next, len(table)/16)
		}
		d := table[16*int(next):]
		addr, n := binary.LittleEndian.Uint64(d), binary.LittleEndian.Uint32(d[8:])
		flags := binary.LittleEndian.Uint16(d[12:])
		next = binary.LittleEndian.Uint16(d[14:])
		b, err := q.memory.at(addr, int(n))
		switch {
		case err != nil:
			return nil, nil, err
		case n == 0:
			return nil, nil, fmt.Errorf("a descriptor of no bytes")
		case segments > int(min(q.size, maxSegments)):
			return nil, nil, fmt.Errorf("a chain of more than %d descriptors", q.size)
		case flags&flagIndirect != 0 && (!q.indirect || inside || n%16 != 0 || segments > 1 || flags != flagIndirect):
			return nil, nil, fmt.Errorf("an indirect table of %d bytes with flags %#x as part %d", n, flags, segments)
		case flags&flagIndirect != 0:
			table, next, inside, segments = b, 0, true, 0
			continue
		case flags&flagWrite != 0:
			writable = append(writable, b)
		case len(writable) > 0:
			return nil, nil, fmt.Errorf("a descriptor to read behind those to write")
		default:
			request = append(request, b...)
		}
		if flags&flagNext == 0 {
			return request, writable, checkChain(request, writable)
		}
	}
}

// checkChain holds a chain to QEMU's rules (hw/9pfs/virtio-9p-device.c,
// handle_9p_output).
func checkChain(request []byte, writable [][]byte) error {
	if len(request) < transport.HeadSize {
		return fmt.Errorf("%d bytes to read", len(request))
	}
	if n := length(writable); n < transport.HeadSize {
		return fmt.Errorf("%d bytes to write", n)
	}
	return nil
}

func length(parts [][]byte) (n int) {
	for _, p := range parts {
		n += len(p)
	}
	return n
}
