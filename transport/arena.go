package transport

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"
)

// Sizes of the small slots; the largest is the option's.
const (
	pageSlot  = 4 << 10
	smallSlot = 64 << 10
)

// ErrSlotSize is wrapped by the error of a Get for more than a slot holds.
var ErrSlotSize = errors.New("transport: larger than an arena slot")

// ArenaOptions shape an Arena.
type ArenaOptions struct {
	// SlotSize is the length in bytes of the largest slots. It is rounded up to
	// pages.
	SlotSize int
	// Limit is how many bytes all slots in use may have together, SlotSize at
	// least.
	Limit int64
	// Memory is where the memory comes from; nil: of anonymous pages.
	Memory *Memory
}

// Arena is payload memory outside the Go heap: page-aligned slots of 4 KiB,
// 64 KiB and SlotSize (whole pages each), from anonymous mappings that cost
// memory only once touched. Slots in use and free slots kept warm are never
// more than Limit bytes together. Memory that a device reaches is different: all
// of it is there from the start, and a quarter more than Limit for small slots. An
// Arena is safe for concurrent use.
type Arena struct {
	limit   int64
	budget  *semaphore.Weighted
	closing context.Context // done when Close begins
	close   context.CancelFunc
	fixed   func() error // frees memory that a device reaches; nil: it is anonymous

	mu      sync.Mutex
	classes []class // ascending by size
	used    int64   // bytes in slots that were handed out
	warm    int64   // bytes in free slots whose pages may be resident
	closed  bool
}

// class is the slots of one size.
type class struct {
	size   int
	region []byte // as much as Limit holds of them; of small ones that a device reaches, smallShare of it
	carved int    // bytes of region that are slots by now
	warm   *Slot  // free, pages may be resident; the last used comes first
	cold   *Slot  // free, pages given back
}

// NewArena reserves the address space; memory is taken as slots are touched.
func NewArena(o ArenaOptions) (*Arena, error) {
	page := os.Getpagesize()
	if o.SlotSize <= 0 || o.Limit < int64(roundUp(o.SlotSize, page)) {
		return nil, fmt.Errorf("transport: an arena of %d bytes has no room for a slot of %d: raise the limit", o.Limit, o.SlotSize)
	}
	a := &Arena{limit: o.Limit, budget: semaphore.NewWeighted(o.Limit)}
	a.closing, a.close = context.WithCancel(context.Background())
	for _, size := range []int{pageSlot, smallSlot, o.SlotSize} {
		size = roundUp(size, page)
		if size > roundUp(o.SlotSize, page) || len(a.classes) > 0 && a.classes[len(a.classes)-1].size >= size {
			continue
		}
		a.classes = append(a.classes, class{size: size})
	}
	reserve := a.reserve
	if o.Memory.fixed() {
		reserve = func() error { return a.reserveFixed(o.Memory) }
	}
	if err := reserve(); err != nil {
		return nil, err
	}
	return a, nil
}

// reserve maps anonymous memory for every class.
func (a *Arena) reserve() error {
	for i := range a.classes {
		c := &a.classes[i]
		region, err := unix.Mmap(-1, 0, int(a.limit)/c.size*c.size, unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
		if err != nil {
			return errors.Join(fmt.Errorf("transport: mapping an arena of %d bytes: %w", a.limit, err), a.unmap())
		}
		c.region = region
	}
	return nil
}

// smallShare is which part of Limit each class of small slots has of memory that a
// device reaches: what there is no small slot for takes a larger one.
const smallShare = 8

// reserveFixed has memory that a device reaches for every class, the largest
// slots first, whose alignment keeps them in one piece.
func (a *Arena) reserveFixed(m *Memory) error {
	sizes, total := make([]int, len(a.classes)), 0
	for i, c := range a.classes {
		limit := int(a.limit)
		if i < len(a.classes)-1 {
			limit /= smallShare
		}
		sizes[i] = limit / c.size * c.size
		total += sizes[i]
	}
	b, free, err := m.alloc(total)
	if err != nil {
		return fmt.Errorf("transport: an arena of %d bytes that the device reaches: %w", total, err)
	}
	a.fixed = free
	for i := len(a.classes) - 1; i >= 0; i-- {
		a.classes[i].region, b = b[:sizes[i]:sizes[i]], b[sizes[i]:]
	}
	return nil
}

// Get returns a slot of n bytes at least, and waits for one, first come first
// served, while Limit is reached. It fails with ctx's error, with ErrSlotSize
// for more than SlotSize bytes, or with ErrClosed. It allocates nothing once the
// slots in use have been as many before, unless it has to wait.
func (a *Arena) Get(ctx context.Context, n int) (*Slot, error) {
	c := a.class(n)
	if c == nil {
		return nil, fmt.Errorf("%w: %d bytes asked, a slot has %d", ErrSlotSize, n, a.classes[len(a.classes)-1].size)
	}
	for ; ; c = a.class(c.size + 1) { // the largest slots are as many as the budget has
		if err := a.acquire(ctx, int64(c.size)); err != nil {
			return nil, err
		}
		s, more := a.take(c)
		if s != nil {
			return s, nil
		}
		a.budget.Release(int64(c.size))
		if !more {
			return nil, ErrClosed
		}
	}
}

// acquire charges the budget with n bytes, and waits for them as long as the arena is open.
func (a *Arena) acquire(ctx context.Context, n int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if a.budget.TryAcquire(n) {
		return nil
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(a.closing, cancel)()
	if a.budget.Acquire(waiting, n) == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return ErrClosed
}

// TryGet is Get without waiting: nil when a slot of n bytes is not to be had now.
func (a *Arena) TryGet(n int) *Slot {
	for c := a.class(n); c != nil && a.budget.TryAcquire(int64(c.size)); c = a.class(c.size + 1) {
		s, more := a.take(c)
		if s != nil {
			return s
		}
		a.budget.Release(int64(c.size))
		if !more {
			break
		}
	}
	return nil
}

// Usage returns the bytes of the slots in use, and how many they may be.
func (a *Arena) Usage() (used, limit int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used, a.limit
}

// Close lets every Get fail with ErrClosed, one that waits at once. The memory
// is unmapped once the last slot is released.
func (a *Arena) Close() error {
	a.close()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil
	}
	a.closed = true
	if a.used > 0 {
		return nil
	}
	return a.unmap()
}

// class returns the class of the smallest slots with n bytes, nil for none.
func (a *Arena) class(n int) *class {
	for i := range a.classes {
		if n <= a.classes[i].size {
			return &a.classes[i]
		}
	}
	return nil
}

// take hands out a slot that the budget has been charged for; nil when there is
// none of that class, or, without more, once closed.
func (a *Arena) take(c *class) (s *Slot, more bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, false
	}
	s = c.warm
	switch {
	case s != nil:
		c.warm = s.next
		a.warm -= int64(c.size)
	case c.cold != nil:
		s = c.cold
		c.cold = s.next
	case c.carved == len(c.region):
		return nil, true
	default:
		s = &Slot{arena: a, class: c, bytes: c.region[c.carved : c.carved+c.size : c.carved+c.size]}
		c.carved += c.size
	}
	s.next, s.free = nil, false
	a.used += int64(c.size)
	a.cool()
	return s, true
}

// cool gives pages of free slots back to the system until what is resident
// keeps to the limit. It has work only when the mix of sizes asked for changes.
// Pages that a device reaches stay: it would go on writing to the old ones.
func (a *Arena) cool() {
	if a.fixed != nil {
		return
	}
	for i := len(a.classes) - 1; i >= 0; i-- {
		c := &a.classes[i]
		for a.used+a.warm > a.limit && c.warm != nil {
			s := c.warm
			c.warm, s.next, c.cold = s.next, c.cold, s
			a.warm -= int64(c.size)
			// It fails only for a range that is no mapping of ours, and then
			// the worst is memory that stays resident.
			_ = unix.Madvise(s.bytes, unix.MADV_DONTNEED)
		}
	}
}

// unmap gives all regions back.
func (a *Arena) unmap() error {
	var errs []error
	if a.fixed != nil {
		errs = append(errs, a.fixed())
	}
	for i := range a.classes {
		c := &a.classes[i]
		if a.fixed == nil && c.region != nil {
			errs = append(errs, unix.Munmap(c.region))
		}
		c.region, c.warm, c.cold = nil, nil, nil
	}
	return errors.Join(errs...)
}

func roundUp(n, unit int) int { return (n + unit - 1) / unit * unit }
