package virtiotest

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/csi-9p/csi-9p/transport"
)

// tflush is the one message that the device has to know.
const tflush = 108

// Element is a request that the driver has put on the queue.
type Element struct {
	// Request is the message, copied.
	Request []byte
	// Writable is the memory for the reply. Between a reset and whatever the test does
	// with an Element it is not to be touched: see Write.
	Writable [][]byte
	// ID is what the used ring knows the element by.
	ID uint32

	device *Device
	queue  *queue
}

// Tag is the message's.
func (e *Element) Tag() uint16 { return binary.LittleEndian.Uint16(e.Request[5:]) }

// Type is the message's.
func (e *Element) Type() byte { return e.Request[4] }

// Write writes to the memory for the reply, one piece after the other, if the
// element is still the device's to write to. It reports whether it was.
func (e *Element) Write(b []byte) bool {
	e.device.mu.Lock()
	defer e.device.mu.Unlock()
	return e.write(b)
}

func (e *Element) write(b []byte) bool {
	if !e.device.live || e.device.queue != e.queue {
		return false
	}
	for _, p := range e.Writable {
		b = b[copy(p, b):]
	}
	return true
}

// Reply writes a message and hands the element back.
func (e *Element) Reply(b []byte) {
	e.device.mu.Lock()
	defer e.device.mu.Unlock()
	if n := length(e.Writable); n < len(b) && e.device.live {
		e.device.breaks(fmt.Errorf("reply type %d needs %d bytes, buffer has %d", b[4], len(b), n))
		return
	}
	if e.write(b) {
		e.device.hand(e.ID, uint32(len(b)))
	}
}

// Return hands the element back with n bytes said to be written, whatever was.
func (e *Element) Return(n uint32) { e.device.Hand(e.ID, n) }

// Hand puts anything into the used ring.
func (d *Device) Hand(id, n uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.live {
		d.hand(id, n)
	}
}

// Jump moves the index of the used ring on by n.
func (d *Device) Jump(n uint16) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.live {
		d.queue.put += n
		d.queue.publish(0)
		signal(d.interrupt)
	}
}

// hand puts an element into the used ring and raises an interrupt if one is
// wanted. The caller holds d.mu.
func (d *Device) hand(id, n uint32) {
	d.queue.hand(id, n)
	if d.queue.interrupts() {
		signal(d.interrupt)
	}
}

// serve takes elements until the device is reset.
func (d *Device) serve(stop chan struct{}) {
	for {
		for e := d.take(); e != nil; e = d.take() {
			if d.options.Handle != nil {
				d.options.Handle(e)
			} else {
				d.forward(e)
			}
		}
		select {
		case <-d.kick:
		case <-stop:
			return
		}
	}
}

// take takes the next element; nil: there is none, and the driver will notify.
func (d *Device) take() *Element {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.live {
		q := d.queue
		head, ok := q.offered()
		if !ok {
			if q.sleep() {
				continue
			}
			return nil
		}
		q.wake()
		e := &d.reused
		if !d.options.Reuse {
			e = &Element{}
		}
		e.ID, e.device, e.queue = uint32(head), d, q
		var err error
		if e.Request, e.Writable, err = q.chain(head, e.Request[:0], e.Writable[:0]); err != nil {
			d.breaks(err)
			return nil
		}
		if size := binary.LittleEndian.Uint32(e.Request); int(size) != len(e.Request) {
			d.breaks(fmt.Errorf("a message of %d bytes whose head says %d", len(e.Request), size))
			return nil
		}
		return e
	}
	return nil
}

// forward gives a request to the server.
func (d *Device) forward(e *Element) {
	d.mu.Lock()
	backend := d.backend
	if d.live {
		d.queue.elements[e.Tag()] = e
	}
	d.mu.Unlock()
	if backend != nil {
		_, _ = backend.Write(e.Request) // receive meets the end
	}
}

// receive gives the server's answers to the driver.
func (d *Device) receive(backend io.Reader) {
	for {
		var front [transport.HeadSize]byte
		if _, err := io.ReadFull(backend, front[:]); err != nil {
			break
		}
		b := make([]byte, binary.LittleEndian.Uint32(front[:]))
		if _, err := io.ReadFull(backend, b[copy(b, front[:]):]); err != nil {
			break
		}
		if e := d.answered(b); e != nil {
			e.Reply(b)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.live {
		d.breakDown() // the server has hung up, for which a device has no words
	}
}

// answered returns the element that b answers. What a Tflush has ended is handed
// back without a reply first, as QEMU does.
func (d *Device) answered(b []byte) *Element {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.live {
		return nil
	}
	elements := d.queue.elements
	tag := binary.LittleEndian.Uint16(b[5:])
	e := elements[tag]
	delete(elements, tag)
	if e != nil && e.Type() == tflush && b[4] == tflush+1 {
		old := binary.LittleEndian.Uint16(e.Request[transport.HeadSize:])
		if flushed := elements[old]; flushed != nil {
			delete(elements, old)
			d.hand(flushed.ID, 0)
		}
	}
	return e
}
