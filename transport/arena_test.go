package transport_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport"
)

const slotSize = 1 << 20

func newArena(t testing.TB, limit int64) *transport.Arena {
	t.Helper()
	a, err := transport.NewArena(transport.ArenaOptions{SlotSize: slotSize, Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func get(t testing.TB, a *transport.Arena, n int) *transport.Slot {
	t.Helper()
	s, err := a.Get(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestArenaSlots(t *testing.T) {
	a := newArena(t, 4*slotSize)
	seen := map[*byte]bool{}
	for _, test := range []struct{ n, want int }{
		{0, 4 << 10}, {1, 4 << 10}, {4 << 10, 4 << 10}, {4<<10 + 1, 64 << 10},
		{64 << 10, 64 << 10}, {64<<10 + 1, slotSize}, {slotSize, slotSize},
	} {
		s := get(t, a, test.n)
		defer s.Release()
		b := s.Bytes()
		if len(b) != max(test.want, os.Getpagesize()) || cap(b) != len(b) {
			t.Errorf("Get(%d): %d bytes, capacity %d, want %d", test.n, len(b), cap(b), test.want)
		}
		if p := uintptr(unsafe.Pointer(&b[0])); p%uintptr(os.Getpagesize()) != 0 {
			t.Errorf("Get(%d): at %#x, not on a page", test.n, p)
		}
		if seen[&b[0]] {
			t.Errorf("Get(%d): memory of another slot in use", test.n)
		}
		seen[&b[0]] = true
		b[0], b[len(b)-1] = 1, 1
	}
}

func TestArenaRefusesWhatCannotBe(t *testing.T) {
	for _, o := range []transport.ArenaOptions{
		{},
		{SlotSize: -1, Limit: 1 << 20},
		{SlotSize: 1 << 20, Limit: 1<<20 - 1},
	} {
		if _, err := transport.NewArena(o); err == nil {
			t.Errorf("NewArena(%+v) made an arena", o)
		}
	}
	a := newArena(t, slotSize)
	if _, err := a.Get(t.Context(), slotSize+1); !errors.Is(err, transport.ErrSlotSize) {
		t.Errorf("Get of more than a slot: %v", err)
	}
	if a.TryGet(slotSize+1) != nil {
		t.Error("TryGet of more than a slot gave one")
	}
}

func TestArenaLimit(t *testing.T) {
	a := newArena(t, 2*slotSize)
	first, second := get(t, a, slotSize), get(t, a, slotSize)
	if a.TryGet(1) != nil {
		t.Fatal("a slot beyond the limit")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Get(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("Get on a full arena with a cancelled context: %v", err)
	}

	got := make(chan *transport.Slot)
	go func() {
		s, err := a.Get(context.Background(), slotSize)
		if err != nil {
			t.Error(err)
		}
		got <- s
	}()
	first.Release()
	third := <-got
	if &third.Bytes()[0] != &first.Bytes()[0] {
		t.Error("the warm slot was not the one to be used again")
	}
	second.Release()
	third.Release()
}

// Free slots of one size must not keep the memory that another size now uses.
func TestArenaResidentMemoryKeepsToLimit(t *testing.T) {
	const limit = 4 * slotSize
	a := newArena(t, limit)
	var all [][]byte
	for _, size := range []int{4 << 10, 64 << 10, slotSize, 4 << 10, 64 << 10} {
		var slots []*transport.Slot
		for s := a.TryGet(size); s != nil; s = a.TryGet(size) {
			for i := range s.Bytes() {
				s.Bytes()[i] = 1
			}
			slots = append(slots, s)
			all = append(all, s.Bytes())
		}
		if len(slots) != limit/size {
			t.Errorf("%d slots of %d bytes, want %d", len(slots), size, limit/size)
		}
		if got := resident(t, all); got > limit {
			t.Errorf("%d bytes resident after slots of %d, the limit is %d", got, size, limit)
		}
		for _, s := range slots {
			s.Release()
		}
	}
}

// resident counts the bytes of distinct pages of the slots that are in memory.
func resident(t *testing.T, slots [][]byte) (n int) {
	t.Helper()
	page := os.Getpagesize()
	seen := map[*byte]bool{}
	for _, b := range slots {
		if seen[&b[0]] {
			continue
		}
		seen[&b[0]] = true
		vec := make([]byte, len(b)/page)
		if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
			uintptr(unsafe.Pointer(&vec[0]))); errno != 0 {
			t.Fatal(errno)
		}
		for _, v := range vec {
			n += int(v&1) * page
		}
	}
	return n
}

func TestArenaClose(t *testing.T) {
	a := newArena(t, slotSize)
	s := get(t, a, 1)
	waiting := make(chan error)
	go func() {
		_, err := a.Get(context.Background(), slotSize)
		waiting <- err
	}()
	// Nobody passes one that waits.
	for free := a.TryGet(1); free != nil; free = a.TryGet(1) {
		free.Release()
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Get that waited at Close: %v", err)
	}
	if _, err := a.Get(t.Context(), 1); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Get after Close: %v", err)
	}
	if a.TryGet(1) != nil {
		t.Error("TryGet after Close gave a slot")
	}
	s.Bytes()[0] = 1 // in use until it is released
	s.Release()
}

func TestSlotReleasedTwicePanics(t *testing.T) {
	s := get(t, newArena(t, slotSize), 1)
	s.Release()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	s.Release()
}

func TestArenaConcurrentUseKeepsSlotsApart(t *testing.T) {
	a := newArena(t, 2*slotSize)
	var users sync.WaitGroup
	for id := range byte(16) {
		users.Go(func() {
			for i := range 200 {
				s, err := a.Get(context.Background(), []int{1, 8 << 10, slotSize}[i%3])
				if err != nil {
					t.Error(err)
					return
				}
				b := s.Bytes()
				b[0], b[len(b)-1] = id, id
				if b[0] != id || b[len(b)-1] != id {
					t.Errorf("slot of %d bytes is shared", len(b))
				}
				s.Release()
			}
		})
	}
	users.Wait()
}

func TestArenaAllocatesNothing(t *testing.T) {
	a := newArena(t, slotSize)
	if n := testing.AllocsPerRun(100, func() { get(t, a, 4096).Release() }); n != 0 {
		t.Errorf("%v allocations for Get and Release", n)
	}
	if n := testing.AllocsPerRun(100, func() { a.TryGet(slotSize).Release() }); n != 0 {
		t.Errorf("%v allocations for TryGet and Release of changing sizes", n)
	}
}

func BenchmarkArena(b *testing.B) {
	a := newArena(b, 64*slotSize)
	b.ReportAllocs()
	for b.Loop() {
		get(b, a, 4096).Release()
	}
}
