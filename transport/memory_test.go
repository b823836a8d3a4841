package transport_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/csi-9p/csi-9p/transport"
)

// reach is a device with memory in pieces of 1 MiB.
type reach struct {
	next   uint64
	fails  error
	freed  int
	mapped [][]byte
}

func (r *reach) Alloc(n int) ([]byte, func() error, error) {
	return make([]byte, n), func() error { r.freed++; return nil }, nil
}

func (r *reach) Map(b []byte) (extents []transport.Extent, err error) {
	if r.fails != nil {
		return nil, r.fails
	}
	r.mapped = append(r.mapped, b)
	for left := len(b); left > 0; left -= 1 << 20 {
		r.next += 1 << 32
		extents = append(extents, transport.Extent{Addr: r.next, Len: min(left, 1<<20)})
	}
	return extents, nil
}

func deviceArena(t *testing.T, r *reach, slot, limit int) (*transport.Memory, *transport.Arena) {
	t.Helper()
	m := new(transport.Memory)
	if err := m.Attach(r); err != nil {
		t.Fatal(err)
	}
	a, err := transport.NewArena(transport.ArenaOptions{SlotSize: slot, Limit: int64(limit), Memory: m})
	if err != nil {
		t.Fatal(err)
	}
	return m, a
}

func TestLocate(t *testing.T) {
	r := new(reach)
	m, a := deviceArena(t, r, 1<<20, 8<<20)
	s, err := a.Get(t.Context(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	at, reached := m.Locate(nil, s.Bytes())
	if !reached || len(at) != 1 || at[0].Len != 1<<20 {
		t.Fatalf("a slot of 1 MiB lies in %v", at)
	}
	part, _ := m.Locate(nil, s.Bytes()[5000:6000])
	if want := (transport.Extent{Addr: at[0].Addr + 5000, Len: 1000}); len(part) != 1 || part[0] != want {
		t.Errorf("a part lies in %v, want %v", part, want)
	}
	across, _ := m.Locate(nil, r.mapped[0][1<<20-10:2<<20+10])
	lengths := make([]int, len(across))
	for i, e := range across {
		lengths[i] = e.Len
	}
	if !slices.Equal(lengths, []int{10, 1 << 20, 10}) {
		t.Errorf("what spans three pieces lies in %v", across)
	}
	for name, b := range map[string][]byte{"other memory": make([]byte, 10), "nothing": nil, "no bytes": s.Bytes()[:0]} {
		if at, reached := m.Locate(nil, b); reached || len(at) > 0 {
			t.Errorf("%s lies in %v", name, at)
		}
	}
	m.Detach(r)
	if _, reached := m.Locate(nil, s.Bytes()); reached {
		t.Error("a device that was detached reaches memory")
	}
	s.Release()
	if err := a.Close(); err != nil || r.freed != 1 {
		t.Errorf("%v, freed %d times", err, r.freed)
	}
}

// TestMemoryGoesOn: from device to device, unless one cannot have it.
func TestMemoryGoesOn(t *testing.T) {
	first := new(reach)
	m, a := deviceArena(t, first, 1<<20, 4<<20)
	if m.Attach(new(reach)) == nil {
		t.Error("two devices at a time")
	}
	m.Detach(first)
	refuses := &reach{fails: errors.New("memory of another kind")}
	if err := m.Attach(refuses); !errors.Is(err, refuses.fails) {
		t.Errorf("a device that cannot have the memory: %v", err)
	}
	second := new(reach)
	if err := m.Attach(second); err != nil {
		t.Fatal(err)
	}
	s := a.TryGet(10)
	if _, reached := m.Locate(nil, s.Bytes()); !reached {
		t.Error("the second device does not reach what was allocated for the first")
	}
	s.Release()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := m.Attach(second); err == nil {
		t.Error("attached twice")
	}
}

// TestDeviceArena: small slots run out before the budget does, and larger ones stand in, as many as the limit has; none of them
// overlap.
func TestDeviceArena(t *testing.T) {
	_, a := deviceArena(t, new(reach), 1<<20, 8<<20)
	var slots []*transport.Slot
	for s := a.TryGet(60 << 10); s != nil; s = a.TryGet(60 << 10) {
		s.Bytes()[0], s.Bytes()[len(s.Bytes())-1] = byte(len(slots)), byte(len(slots))
		slots = append(slots, s)
	}
	if n := len(slots); n != 16+7 {
		t.Errorf("%d slots of 64 KiB out of 8 MiB, want 16 small ones and 7 large ones", n)
	}
	for i, s := range slots {
		if b := s.Bytes(); b[0] != byte(i) || b[len(b)-1] != byte(i) {
			t.Errorf("slot %d overlaps another", i)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Get(ctx, 1<<20); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for _, s := range slots {
		s.Release()
	}
	for range 3 { // what was given back serves again
		if s, err := a.Get(t.Context(), 1<<20); err != nil {
			t.Fatal(err)
		} else {
			defer s.Release()
		}
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if _, err := a.Get(t.Context(), 1<<20); !errors.Is(err, transport.ErrClosed) {
		t.Error(err)
	}
}
