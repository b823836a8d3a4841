package vring_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"unsafe"

	"github.com/csi-9p/csi-9p/transport/virtio/vring"
)

// memory is zeroed and aligned as a queue wants it.
func memory(n int) []byte {
	b := make([]byte, n+64)
	return b[-int(uintptr(unsafe.Pointer(&b[0])))&63:][:n]
}

// device is the memory of a queue as its device reads and writes it, by the
// offsets of virtio 1.2, section 2.7, written out here once more.
type device struct {
	b               []byte
	size            int
	availAt, usedAt int
	seen, put       uint16
}

func newQueue(t testing.TB, size int, event bool) (*vring.Ring, *device) {
	t.Helper()
	b := memory(vring.Bytes(size))
	r, err := vring.New(b, vring.Options{Size: size, EventIndex: event})
	if err != nil {
		t.Fatal(err)
	}
	d := &device{b: b, size: size}
	d.availAt, d.usedAt = r.Offsets()
	return r, d
}

func (d *device) u16(at int) uint16        { return binary.LittleEndian.Uint16(d.b[at:]) }
func (d *device) put16(at int, v uint16)   { binary.LittleEndian.PutUint16(d.b[at:], v) }
func (d *device) availFlags() uint16       { return d.u16(d.availAt) }
func (d *device) availIndex() uint16       { return d.u16(d.availAt + 2) }
func (d *device) usedEvent() uint16        { return d.u16(d.availAt + 4 + 2*d.size) }
func (d *device) setUsedFlags(v uint16)    { d.put16(d.usedAt, v) }
func (d *device) setAvailEvent(v uint16)   { d.put16(d.usedAt+4+8*d.size, v) }
func (d *device) setUsedIndex(v uint16)    { d.put16(d.usedAt+2, v) }
func (d *device) usedElement(i uint16) int { return d.usedAt + 4 + 8*(int(i)%d.size) }

// take returns the next head that was offered.
func (d *device) take(t testing.TB) uint16 {
	t.Helper()
	if d.availIndex() == d.seen {
		t.Fatal("nothing is offered")
	}
	head := d.u16(d.availAt + 4 + 2*(int(d.seen)%d.size))
	d.seen++
	return head
}

// use hands an element back.
func (d *device) use(id, n uint32) {
	at := d.usedElement(d.put)
	binary.LittleEndian.PutUint32(d.b[at:], id)
	binary.LittleEndian.PutUint32(d.b[at+4:], n)
	d.put++
	d.setUsedIndex(d.put)
}

// descriptor is one of a table, as the device reads it.
type descriptor struct {
	addr        uint64
	len         uint32
	flags, next uint16
}

func read(table []byte, i uint16) descriptor {
	b := table[16*int(i):]
	return descriptor{
		binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:]),
		binary.LittleEndian.Uint16(b[12:]), binary.LittleEndian.Uint16(b[14:]),
	}
}

var parts = []vring.Part{{Addr: 1 << 40, Len: 7}, {Addr: 2, Len: 3}, {Addr: 4096, Len: 11, Write: true}}

func TestAddChainsDescriptors(t *testing.T) {
	r, d := newQueue(t, 8, true)
	if head := r.Add(parts); head != d.take(t) || r.Free() != 5 || r.Outstanding() != 1 {
		t.Fatalf("head %d, %d free", head, r.Free())
	}
	want := []descriptor{{1 << 40, 7, 1, 0}, {2, 3, 1, 0}, {4096, 11, 2, 0}}
	i := d.u16(d.availAt + 4)
	for n, w := range want {
		got := read(d.b, i)
		i, got.next = got.next, 0
		if got != w {
			t.Errorf("descriptor %d is %+v, want %+v", n, got, w)
		}
	}
}

func TestAddTableTakesOneDescriptor(t *testing.T) {
	r, d := newQueue(t, 8, true)
	table := make([]byte, 3*vring.DescriptorSize)
	if n := vring.PutTable(table, parts); n != len(table) {
		t.Errorf("a table of %d bytes", n)
	}
	for i, want := range []descriptor{{1 << 40, 7, 1, 1}, {2, 3, 1, 2}, {4096, 11, 2, 0}} {
		if got := read(table, uint16(i)); want.next == 0 && (got.flags&1 != 0 || got.addr != want.addr) || want.next != 0 && got != want {
			t.Errorf("part %d is %+v, want %+v", i, got, want)
		}
	}
	head := r.AddTable(vring.Part{Addr: 1 << 20, Len: uint32(len(table))}, vring.Room(parts))
	if got := read(d.b, head); head != d.take(t) || got.flags != 4 || got.addr != 1<<20 || got.len != 48 || r.Free() != 7 {
		t.Errorf("descriptor %+v, %d free", got, r.Free())
	}
}

// TestRoundAndRound: indices wrap, elements come back in any order, nothing is lost.
func TestRoundAndRound(t *testing.T) {
	r, d := newQueue(t, 16, true)
	for round := range 1 << 13 {
		var heads []uint16
		for range 1 + round%5 {
			heads = append(heads, r.Add(parts))
		}
		for range heads {
			d.take(t)
		}
		slices.Reverse(heads)
		for _, h := range heads {
			d.use(uint32(h), 11)
		}
		for _, h := range heads {
			got, n, ok, err := r.Next()
			if got != h || n != 11 || !ok || err != nil {
				t.Fatalf("round %d: head %d, %d bytes, %v, %v; want %d", round, got, n, ok, err, h)
			}
		}
		if _, _, ok, err := r.Next(); ok || err != nil || r.Pending() || r.Free() != 16 || r.Outstanding() != 0 {
			t.Fatalf("round %d: more came, or %d of 16 free, %v", round, r.Free(), err)
		}
	}
}

// TestKick: section 2.7.10.
func TestKick(t *testing.T) {
	r, d := newQueue(t, 8, true)
	for i, step := range []struct {
		add   int
		event uint16
		want  bool
	}{
		{1, 0, true}, {0, 0, false}, {1, 0, false}, {1, 2, true}, {3, 4, true}, {1, 100, false},
	} {
		for range step.add {
			r.AddTable(vring.Part{Addr: 1, Len: 16}, 0)
		}
		d.setAvailEvent(step.event)
		if got := r.Kick(); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	r, d = newQueue(t, 8, false)
	r.AddTable(vring.Part{Addr: 1, Len: 16}, 0)
	if !r.Kick() {
		t.Error("without event index: no kick")
	}
	d.setUsedFlags(1)
	r.AddTable(vring.Part{Addr: 1, Len: 16}, 0)
	if r.Kick() {
		t.Error("without event index: a kick that the device does not want")
	}
}

func TestArm(t *testing.T) {
	r, d := newQueue(t, 8, true)
	head := r.Add(parts)
	if r.Arm() || d.usedEvent() != 0 {
		t.Errorf("used_event %d", d.usedEvent())
	}
	d.use(uint32(head), 0)
	if !r.Arm() || !r.Pending() {
		t.Error("what was used before Arm goes unnoticed")
	}
	if _, _, ok, err := r.Next(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if r.Arm() || d.usedEvent() != 1 {
		t.Errorf("used_event %d after one", d.usedEvent())
	}
	r, d = newQueue(t, 8, false)
	r.Disarm()
	r.Add(parts)
	if d.availFlags() != 1 || d.availIndex() != 1 {
		t.Errorf("flags %d, index %d", d.availFlags(), d.availIndex())
	}
	if r.Arm(); d.availFlags() != 0 || d.availIndex() != 1 {
		t.Errorf("flags %d, index %d", d.availFlags(), d.availIndex())
	}
}

// TestLies: what the device returns has to be outstanding, and no longer than it was.
func TestLies(t *testing.T) {
	for name, lie := range map[string]func(d *device, head uint32){
		"another head":        func(d *device, head uint32) { d.use(head+1, 0) },
		"no head":             func(d *device, _ uint32) { d.use(1<<16, 0) },
		"too long":            func(d *device, head uint32) { d.use(head, 12) },
		"a jump":              func(d *device, _ uint32) { d.setUsedIndex(2) },
		"a jump back":         func(d *device, _ uint32) { d.setUsedIndex(0xffff) },
		"twice, at once":      func(d *device, head uint32) { d.use(head, 0); d.use(head, 0) },
		"a part, not a head":  func(d *device, head uint32) { d.use(uint32(read(d.b, uint16(head)).next), 0) },
		"changed descriptors": func(d *device, head uint32) { clear(d.b[:16*d.size]); d.use(head+2, 0) },
	} {
		r, d := newQueue(t, 8, true)
		lie(d, uint32(r.Add(parts)))
		err := error(nil)
		for ok := true; ok && err == nil; {
			_, _, ok, err = r.Next()
		}
		if !errors.Is(err, vring.ErrDevice) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBadQueues(t *testing.T) {
	for _, size := range []int{0, 1, 3, 1 << 16, -8} {
		if _, err := vring.New(memory(1<<20), vring.Options{Size: size}); err == nil {
			t.Errorf("a queue of %d", size)
		}
	}
	if _, err := vring.New(memory(vring.Bytes(8)-1), vring.Options{Size: 8}); err == nil {
		t.Error("too little memory")
	}
	if _, err := vring.New(memory(1 << 12)[1:], vring.Options{Size: 8}); err == nil {
		t.Error("memory that is not aligned")
	}
}

// FuzzDevice: whatever a device writes, each head comes back once at most, with no more bytes than it had room for.
func FuzzDevice(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 11, 2, 0, 0, 0, 3})
	f.Add([]byte{0, 0, 0, 1, 5, 11, 2, 4, 200, 1, 3, 3, 3})
	f.Add([]byte{0, 5, 1, 255, 255, 3})
	f.Fuzz(func(t *testing.T, script []byte) {
		r, d := newQueue(t, 8, len(script)%2 == 0)
		out := map[uint16]bool{}
		next := func() byte {
			if len(script) == 0 {
				return 0
			}
			b := script[0]
			script = script[1:]
			return b
		}
		for len(script) > 0 {
			switch next() % 6 {
			case 0:
				if r.Free() >= len(parts) {
					out[r.Add(parts)] = true
				}
			case 1:
				d.use(uint32(next()), uint32(next()))
			case 2:
				d.setUsedIndex(uint16(next()) | uint16(next())<<8)
			case 3:
				head, n, ok, err := r.Next()
				if err != nil {
					return
				}
				if ok && (!out[head] || n > 11) {
					t.Fatalf("head %d with %d bytes", head, n)
				}
				if ok {
					delete(out, head)
				}
			case 4:
				d.b[int(next())%len(d.b)] = next()
			case 5:
				r.Kick()
				r.Arm()
				r.Disarm()
			}
			if r.Outstanding() != len(out) || r.Free() != 8-3*len(out) {
				t.Fatalf("%d outstanding of %d, %d free", r.Outstanding(), len(out), r.Free())
			}
		}
	})
}
