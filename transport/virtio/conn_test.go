package virtio_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/virtio"
	"github.com/csi-9p/csi-9p/transport/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Types of messages.
const (
	tread, rread   = 116, 117
	twrite, rwrite = 118, 119
	tflush, rflush = 108, 109
	tclunk         = 120
)

// done is told of completed calls.
type done chan *transport.Call

func (d done) Complete(c *transport.Call) { d <- c }

// wait returns the next call that is complete.
func (d done) wait(t testing.TB) *transport.Call {
	t.Helper()
	select {
	case c := <-d:
		return c
	case <-time.After(20 * time.Second):
		t.Fatal("no call is complete")
		return nil
	}
}

// rig is a device, whose elements come to the test, and a connection of it.
type rig struct {
	*virtiotest.Device
	*virtio.Conn
	elements chan *virtiotest.Element
	memory   *transport.Memory
	arena    *transport.Arena
	done     done
}

func newRig(t testing.TB, o virtiotest.Options, vo virtio.Options) *rig {
	t.Helper()
	r := &rig{elements: make(chan *virtiotest.Element, 1024), memory: new(transport.Memory), done: make(done, 1024)}
	o.Broken = func(err error) { t.Errorf("the driver broke the device: %v", err) }
	if o.Handle == nil {
		o.Handle = func(e *virtiotest.Element) { r.elements <- e }
	}
	vo.Memory = r.memory
	r.Device = virtiotest.New(o)
	var err error
	if r.Conn, err = virtio.New(t.Context(), r.Device, vo); err != nil {
		t.Fatal(err)
	}
	r.arena, err = transport.NewArena(transport.ArenaOptions{SlotSize: 1 << 20, Limit: 8 << 20, Memory: r.memory})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.Conn.Close()
		<-r.Lost()
		if !r.Closed() {
			t.Error("the device was not given back")
		}
		if err := r.arena.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// Close of the connection, not of the device.
func (r *rig) Close() error { return r.Conn.Close() }

// element returns the next element that the device was given.
func (r *rig) element(t testing.TB) *virtiotest.Element {
	t.Helper()
	select {
	case e := <-r.elements:
		return e
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came on the ring")
		return nil
	}
}

// message is a T-message or an R-message.
func message(kind byte, tag uint16, size int, body ...byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(size))
	return append(binary.LittleEndian.AppendUint16(append(b, kind), tag), body...)
}

// read is a Tread into in.
func (r *rig) read(tag uint16, in []byte) *transport.Call {
	body := binary.LittleEndian.AppendUint32(make([]byte, 12), uint32(len(in)))
	return &transport.Call{
		Tag: tag, Head: message(tread, tag, 23, body...), In: in, Reply: make([]byte, 0, 269), Done: r.done,
	}
}

// write is a Twrite of out.
func (r *rig) write(tag uint16, out []byte) *transport.Call {
	body := binary.LittleEndian.AppendUint32(make([]byte, 12), uint32(len(out)))
	return &transport.Call{
		Tag: tag, Head: message(twrite, tag, 23+len(out), body...), Out: out, Reply: make([]byte, 0, 269), Done: r.done,
	}
}

// short is a request without payload.
func (r *rig) short(kind byte, tag uint16, body ...byte) *transport.Call {
	return &transport.Call{
		Tag: tag, Head: message(kind, tag, 7+len(body), body...), Reply: make([]byte, 0, 269), Urgent: kind != twrite, Done: r.done,
	}
}

// slot returns payload memory that the device reaches.
func (r *rig) slot(t testing.TB, n int) []byte {
	t.Helper()
	s := r.arena.TryGet(n)
	if s == nil {
		t.Fatal("the arena has no slot")
	}
	t.Cleanup(s.Release)
	return s.Bytes()[:n]
}

// answer is an Rread.
func answer(tag uint16, data []byte) []byte {
	b := message(rread, tag, 11+len(data))
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(data))), data...)
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// devices are those that differ in how they want to be driven.
var devices = map[string]virtiotest.Options{
	"indirect":            {},
	"in pages":            {Pages: true},
	"direct":              {Without: virtio.FeatureIndirect},
	"without event index": {Without: virtio.FeatureEventIndex},
	"small and plain":     {QueueSize: 16, Without: virtio.FeatureIndirect | virtio.FeatureEventIndex},
}

func onDevices(t *testing.T, test func(*testing.T, virtiotest.Options)) {
	for name, o := range devices {
		t.Run(name, func(t *testing.T) { test(t, o) })
	}
}

// TestPayload: what is written and read is the same wherever it lies, and is copied only where the device does not reach.
func TestPayload(t *testing.T) {
	onDevices(t, func(t *testing.T, o virtiotest.Options) {
		r := newRig(t, o, virtio.Options{})
		for _, n := range []int{0, 1, 100, 1023, 1024, 4096, 5000, 64 << 10, 1 << 20} {
			n = min(n, int(r.Traits().MaxMsize)-24)
			for _, within := range []bool{true, false} {
				payload := make([]byte, n)
				if within {
					payload = r.slot(t, n)
				}
				copy(payload, pattern(n))
				r.Submit(r.write(1, payload))
				e := r.element(t)
				if !bytes.Equal(e.Request[23:], pattern(n)) {
					t.Errorf("%d bytes: others were written", n)
				}
				e.Reply(message(rwrite, 1, 11, 0, 0, 0, 0))
				call := r.done.wait(t)
				if call.Err != nil || len(call.Reply) != 11 || (call.Bounced > 0) != (!within && n >= 1024) {
					t.Errorf("write of %d bytes: %v, reply of %d, %d bounced", n, call.Err, len(call.Reply), call.Bounced)
				}
				clear(payload)
				r.Submit(r.read(2, payload))
				r.element(t).Reply(answer(2, pattern(n)))
				call = r.done.wait(t)
				if call.Err != nil || call.N != n || !bytes.Equal(payload, pattern(n)) || len(call.Reply) != 11 {
					t.Errorf("read of %d bytes: %v, %d came", n, call.Err, call.N)
				}
				if (call.Copied == 0) != (within || n == 0) || (call.Bounced > 0) != (!within && n >= 1024) {
					t.Errorf("read of %d bytes, within reach %v: %d copied, %d bounced", n, within, call.Copied, call.Bounced)
				}
			}
		}
	})
}

// TestDescriptors: a payload in its slot takes one descriptor, beside one for the head and one for the reply's.
func TestDescriptors(t *testing.T) {
	r := newRig(t, virtiotest.Options{Pages: true}, virtio.Options{})
	in := r.slot(t, 1<<20)
	r.Submit(r.read(1, in))
	e := r.element(t)
	if len(e.Writable) != 2 || len(e.Writable[0]) != transport.PayloadHeadSize || &e.Writable[1][0] != &in[0] || len(e.Writable[1]) != len(in) {
		t.Errorf("%d parts to write, the payload's place is not all of the second", len(e.Writable))
	}
	e.Reply(answer(1, nil))
	r.done.wait(t)
}

// TestErrors: error replies come whole, and none of their bytes stays where the payload was due.
func TestErrors(t *testing.T) {
	texts := bytes.Repeat([]byte("no such thing "), 18)
	for name, reply := range map[string][]byte{
		"number": message(transport.TypeRlerror, 3, 11, 2, 0, 0, 0),
		"text":   message(transport.TypeRerror, 3, 13+len(texts), append(append([]byte{byte(len(texts)), 0}, texts...), 2, 0, 0, 0)...),
	} {
		for _, n := range []int{1, 8, 1024, 64 << 10} {
			for _, within := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%d/%v", name, n, within), func(t *testing.T) {
					r := newRig(t, virtiotest.Options{}, virtio.Options{})
					in := make([]byte, n)
					if within {
						in = r.slot(t, n)
					}
					r.Submit(r.read(3, in))
					r.element(t).Reply(reply)
					call := r.done.wait(t)
					if call.Err != nil || !bytes.Equal(call.Reply, reply) || call.N != 0 || !bytes.Equal(in, make([]byte, n)) {
						t.Errorf("%v: %q, %d bytes, %q", call.Err, call.Reply, call.N, in[:min(n, 20)])
					}
				})
			}
		}
	}
}

// TestManyAtOnce: more calls than the queue holds all get through, answered in any order.
func TestManyAtOnce(t *testing.T) {
	onDevices(t, func(t *testing.T, o virtiotest.Options) {
		const calls = 500
		r := newRig(t, o, virtio.Options{})
		for tag := range uint16(calls) {
			in := make([]byte, 3000)
			if tag%2 == 0 && tag < 400 {
				in = r.slot(t, 3000)
			}
			r.Submit(r.read(tag, in))
		}
		var held []*virtiotest.Element
		for answered := 0; answered < calls; {
			select {
			case e := <-r.elements:
				held = append(held, e)
				continue
			case <-time.After(2 * time.Millisecond):
			}
			for i := len(held) - 1; i >= 0; i-- {
				held[i].Reply(answer(held[i].Tag(), pattern(3000)))
				answered++
			}
			held = held[:0]
		}
		for range calls {
			if call := r.done.wait(t); call.Err != nil || !bytes.Equal(call.In, pattern(3000)) {
				t.Fatalf("tag %d: %v", call.Tag, call.Err)
			}
		}
	})
}

// TestUrgentCallsFindRoom: with the queue full of calls, or bounce buffers out, a Tflush goes out.
func TestUrgentCallsFindRoom(t *testing.T) {
	onDevices(t, func(t *testing.T, o virtiotest.Options) {
		r := newRig(t, o, virtio.Options{})
		n := int(r.Traits().MaxMsize) - 24
		for tag := range uint16(300) {
			r.Submit(r.read(tag, make([]byte, n)))
		}
		r.Submit(r.short(tflush, 300, 0, 0))
		for {
			if e := r.element(t); e.Type() == tflush {
				e.Reply(message(rflush, 300, 7))
				break
			}
		}
		if call := r.done.wait(t); call.Tag != 300 || call.Err != nil {
			t.Errorf("tag %d: %v", call.Tag, call.Err)
		}
	})
}

// TestWithdraw: what was not put on the ring can be taken back, and lets others pass; what was cannot.
func TestWithdraw(t *testing.T) {
	r := newRig(t, virtiotest.Options{}, virtio.Options{})
	n := int(r.Traits().MaxMsize) - 24
	var calls []*transport.Call
	for tag := range uint16(8) {
		calls = append(calls, r.read(tag, make([]byte, n)))
		r.Submit(calls[tag])
	}
	first := r.element(t)
	if r.Withdraw(calls[0]) {
		t.Error("a call that the device has was taken back")
	}
	for _, call := range calls[2:] {
		if !r.Withdraw(call) {
			t.Errorf("tag %d was not taken back", call.Tag)
		}
	}
	if r.Withdraw(calls[7]) {
		t.Error("a call was taken back twice")
	}
	r.Submit(r.read(2, make([]byte, 10)))
	for _, e := range []*virtiotest.Element{first, r.element(t), r.element(t)} {
		e.Reply(answer(e.Tag(), nil))
		if call := r.done.wait(t); call.Err != nil || call.Tag > 2 {
			t.Errorf("tag %d: %v", call.Tag, call.Err)
		}
	}
}

// TestForget: a flushed call is complete when the device has handed it back, and its tag can be used again.
func TestForget(t *testing.T) {
	r := newRig(t, virtiotest.Options{}, virtio.Options{})
	r.Submit(r.read(5, r.slot(t, 4096)))
	e := r.element(t)
	r.Forget(5)
	r.Submit(r.short(tclunk, 6, 0, 0, 0, 0)) // behind it on the ring
	r.element(t).Reply(message(tclunk+1, 6, 7))
	if call := r.done.wait(t); call.Tag != 6 {
		t.Fatalf("tag %d is complete too early: %v", call.Tag, call.Err)
	}
	e.Return(0)
	if call := r.done.wait(t); call.Tag != 5 || !errors.Is(call.Err, transport.ErrForgotten) {
		t.Errorf("tag %d: %v", call.Tag, call.Err)
	}
	r.Submit(r.read(5, r.slot(t, 4096)))
	r.element(t).Reply(answer(5, pattern(9)))
	if call := r.done.wait(t); call.Err != nil || call.N != 9 {
		t.Errorf("the tag used again: %v", call.Err)
	}
}

// TestNoReply: what a device hands back without a reply is complete at once, and its room is another's: it was sent, so that it is
// not taken back, and a promise not to answer it comes too late.
func TestNoReply(t *testing.T) {
	r := newRig(t, devices["small and plain"], virtio.Options{})
	for range 2 * r.Traits().Slots {
		call := r.read(5, make([]byte, 10))
		r.Submit(call)
		r.element(t).Return(0)
		if got := r.done.wait(t); got != call || !errors.Is(got.Err, transport.ErrNoReply) || got.N != 0 {
			t.Fatalf("tag %d: %v, %d bytes", got.Tag, got.Err, got.N)
		}
		if r.Withdraw(call) {
			t.Fatal("a call that the device has had was taken back")
		}
		r.Forget(5)
	}
	r.Submit(r.read(5, make([]byte, 10)))
	r.element(t).Reply(answer(5, pattern(9)))
	if call := r.done.wait(t); call.Err != nil || call.N != 9 {
		t.Errorf("the tag used again: %v", call.Err)
	}
}

// TestOwnership: whatever ends a connection, no call is complete before the device has confirmed its reset, and the device
// writes to none of its memory after that.
func TestOwnership(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*rig)
		want error
	}{
		"closed":      {func(r *rig) { _ = r.Close() }, transport.ErrClosed},
		"needs reset": {func(r *rig) { r.Break() }, transport.ErrProtocol},
		"a lie":       {func(r *rig) { r.Hand(77, 0) }, transport.ErrProtocol},
		"unplugged":   {func(r *rig) { r.Unplug() }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, virtiotest.Options{}, virtio.Options{})
			in := r.slot(t, 64<<10)
			r.Submit(r.read(1, in))
			e := r.element(t)
			before := r.Resets()
			c.end(r)
			call := r.done.wait(t)
			if call.Err == nil || c.want != nil && !errors.Is(call.Err, c.want) || call.N != 0 {
				t.Errorf("the call ended with %v", call.Err)
			}
			if r.Resets() == before {
				t.Error("the call is complete, the device was not reset")
			}
			if e.Write([]byte("too late")) || !bytes.Equal(in, make([]byte, len(in))) {
				t.Error("the device has written to the memory of a call that is complete")
			}
			<-r.Lost()
			late := r.read(2, in)
			r.Submit(late)
			if r.done.wait(t) != late || late.Err == nil {
				t.Error("a call on a dead connection has no error")
			}
		})
	}
}

// TestResetNotConfirmed: calls wait for a device that takes its time to confirm.
func TestResetNotConfirmed(t *testing.T) {
	r := newRig(t, virtiotest.Options{}, virtio.Options{})
	r.Submit(r.read(1, r.slot(t, 4096)))
	e := r.element(t)
	r.FailResets(4) // two of Reset, two of Close
	_ = r.Close()
	lab := time.Now()
	for r.Resets() < 3 {
		if time.Since(lab) > 20*time.Second {
			t.Fatal("the reset is not tried again")
		}
		time.Sleep(time.Millisecond)
	}
	select {
	case <-r.done:
		t.Fatal("the call is complete before the device confirmed its reset")
	default:
	}
	if !e.Write([]byte("still its own")) {
		t.Error("the device was reset")
	}
	if call := r.done.wait(t); !errors.Is(call.Err, transport.ErrClosed) {
		t.Error(call.Err)
	}
}

// TestLies: each ends the connection, as a violation of the protocol.
func TestLies(t *testing.T) {
	for name, lie := range map[string]func(*rig, *virtiotest.Element){
		"an element that is not outstanding": func(r *rig, e *virtiotest.Element) { r.Hand(e.ID^1, 11) },
		"an element beyond the queue":        func(r *rig, _ *virtiotest.Element) { r.Hand(1<<31, 11) },
		"an element twice":                   func(_ *rig, e *virtiotest.Element) { e.Reply(answer(1, nil)); e.Return(11) },
		"more than there was room for":       func(_ *rig, e *virtiotest.Element) { e.Return(1 << 30) },
		"an index that jumps":                func(r *rig, _ *virtiotest.Element) { r.Jump(1000) },
		"no whole head":                      func(_ *rig, e *virtiotest.Element) { e.Return(5) },
		"a count beyond what was asked":      func(_ *rig, e *virtiotest.Element) { e.Write(answer(1, make([]byte, 5000))[:11]); e.Return(11) },
		"another tag":                        func(_ *rig, e *virtiotest.Element) { e.Reply(answer(2, nil)) },
		"another type":                       func(_ *rig, e *virtiotest.Element) { e.Reply(message(rwrite, 1, 11, 0, 0, 0, 0)) },
		"a size beyond what was written":     func(_ *rig, e *virtiotest.Element) { e.Write(answer(1, pattern(50))); e.Return(11) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, virtiotest.Options{}, virtio.Options{})
			r.Submit(r.read(1, r.slot(t, 4096)))
			r.Submit(r.read(9, r.slot(t, 4096)))
			lie(r, r.element(t))
			select {
			case <-r.Lost():
			case <-time.After(20 * time.Second):
				t.Fatal("the connection lives on")
			}
			if !errors.Is(r.Err(), transport.ErrProtocol) {
				t.Errorf("it ended with %v", r.Err())
			}
		})
	}
}

// TestInvalidCalls: what cannot be sent is refused and harms nobody.
func TestInvalidCalls(t *testing.T) {
	r := newRig(t, virtiotest.Options{}, virtio.Options{})
	for name, spoil := range map[string]func(*transport.Call){
		"no head":          func(c *transport.Call) { c.Head = c.Head[:3] },
		"another size":     func(c *transport.Call) { c.Head[0]++ },
		"another tag":      func(c *transport.Call) { c.Tag++ },
		"no reply":         func(c *transport.Call) { c.Reply = nil },
		"an urgent burden": func(c *transport.Call) { c.Urgent = true },
	} {
		call := r.read(1, make([]byte, 10))
		spoil(call)
		r.Submit(call)
		if r.done.wait(t) != call || !errors.Is(call.Err, transport.ErrInvalidCall) {
			t.Errorf("%s: %v", name, call.Err)
		}
	}
	r.Submit(r.read(1, make([]byte, 10)))
	twice := r.read(1, make([]byte, 10))
	r.Submit(twice)
	if r.done.wait(t) != twice || !errors.Is(twice.Err, transport.ErrInvalidCall) {
		t.Errorf("a tag twice: %v", twice.Err)
	}
	r.SetMsize(8192)
	large := r.write(2, make([]byte, 9000))
	r.Submit(large)
	if r.done.wait(t) != large || !errors.Is(large.Err, transport.ErrInvalidCall) {
		t.Errorf("beyond msize: %v", large.Err)
	}
}

// TestMemoryOutlivesTheDevice: after a reconnect what was allocated for one device is in reach of the next.
func TestMemoryOutlivesTheDevice(t *testing.T) {
	r := newRig(t, virtiotest.Options{Pages: true}, virtio.Options{})
	in := r.slot(t, 1<<20)
	_ = r.Close()
	<-r.Lost()
	if _, reached := r.memory.Locate(nil, in); reached {
		t.Error("memory is still in reach of a device that was closed")
	}
	r.Device = virtiotest.New(virtiotest.Options{Handle: func(e *virtiotest.Element) { r.elements <- e }})
	conn, err := virtio.New(t.Context(), r.Device, virtio.Options{Memory: r.memory})
	if err != nil {
		t.Fatal(err)
	}
	r.Conn = conn
	r.Submit(r.read(1, in))
	r.element(t).Reply(answer(1, pattern(1<<20)))
	if call := r.done.wait(t); call.Err != nil || call.Copied != 0 || !bytes.Equal(in, pattern(1<<20)) {
		t.Errorf("%v, %d bytes copied", call.Err, call.Copied)
	}
}

// TestUnsuitableDevices: they are refused, reset and given back.
func TestUnsuitableDevices(t *testing.T) {
	for name, o := range map[string]virtiotest.Options{
		"legacy":         {Without: virtio.FeatureVersion1},
		"a tiny queue":   {QueueSize: 4},
		"does not reset": {ResetFails: 1},
	} {
		d := virtiotest.New(o)
		if c, err := virtio.New(t.Context(), d, virtio.Options{}); err == nil || c != nil || !d.Closed() {
			t.Errorf("%s: %v, closed %v", name, err, d.Closed())
		}
	}
}

// TestRoomToSpare: a call may have more room than any reply takes.
func TestRoomToSpare(t *testing.T) {
	r := newRig(t, virtiotest.Options{QueueSize: 16, Without: virtio.FeatureIndirect}, virtio.Options{})
	call := r.read(1, make([]byte, 64<<20))
	call.Reply = make([]byte, 0, 1<<20)
	r.Submit(call)
	r.element(t).Reply(answer(1, pattern(3000)))
	if call := r.done.wait(t); call.Err != nil || !bytes.Equal(call.In[:call.N], pattern(3000)) {
		t.Errorf("%v, %d bytes", call.Err, call.N)
	}
	call.In, call.Head = nil, message(tclunk, 1, 7)
	r.Submit(call)
	r.element(t).Reply(message(tclunk+1, 1, 7))
	if call := r.done.wait(t); call.Err != nil || len(call.Reply) != 7 {
		t.Errorf("%v, reply of %d bytes", call.Err, len(call.Reply))
	}
}

// TestLateReply: what a device answers after all to a call that was to be forgotten is its answer.
func TestLateReply(t *testing.T) {
	r := newRig(t, virtiotest.Options{}, virtio.Options{})
	in := r.slot(t, 4096)
	r.Submit(r.read(5, in))
	e := r.element(t)
	r.Forget(5)
	e.Reply(answer(5, pattern(100)))
	if call := r.done.wait(t); call.Err != nil || call.N != 100 || !bytes.Equal(in[:100], pattern(100)) {
		t.Errorf("%v, %d bytes", call.Err, call.N)
	}
}
