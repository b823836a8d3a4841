package transport

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Extent is a piece of memory as a device addresses it.
type Extent struct {
	Addr uint64
	Len  int
}

// Reach is a device's way to memory.
type Reach interface {
	// Alloc returns n bytes of zeroed memory of a kind that the device can be
	// given, aligned to a page at least, which stay where they are until free is
	// called, once. It works, and free too, after the device was closed.
	Alloc(n int) (b []byte, free func() error, err error)
	// Map lets the device read and write b, all that an Alloc of this device
	// or of another has returned, until the device is closed, and tells at which
	// addresses: extents that follow one another in b and have len(b) bytes in
	// all, as few as there can be. It fails for memory of another kind.
	Map(b []byte) ([]Extent, error)
}

// Memory is where a session's arenas have theirs from: of anonymous pages, or
// of what a device reaches once a connection by way of one was made. It outlives
// the connections: all that was allocated is mapped for the next device too.
// The zero Memory is ready. It is safe for concurrent use.
type Memory struct {
	mu      sync.Mutex
	source  Reach // of the last device: its Alloc
	mapped  Reach // of the device that is connected; nil: none
	regions []*region
	table   atomic.Pointer[[]region] // what Locate looks at
}

// region is what one Alloc returned.
type region struct {
	bytes   []byte
	extents []Extent
	ends    []int // of each extent, in bytes
}

// Attach maps all memory for a device, and has more come from there. The device
// before must have been detached.
func (m *Memory) Attach(r Reach) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mapped != nil {
		return errors.New("transport: the memory is another device's")
	}
	for _, region := range m.regions {
		if err := region.mapFor(r); err != nil {
			return err
		}
	}
	m.source, m.mapped = r, r
	m.publish()
	return nil
}

// Detach ends what Attach began. The device must have lost its reach: nothing
// keeps the memory from being used for something else afterwards.
func (m *Memory) Detach(r Reach) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mapped == r {
		m.mapped = nil
		m.table.Store(nil)
	}
}

// Locate appends the extents of b to to. It reports false, and appends nothing, if not all of
// b is memory that the device reaches.
func (m *Memory) Locate(to []Extent, b []byte) ([]Extent, bool) {
	table := m.table.Load()
	if table == nil || len(b) == 0 {
		return to, false
	}
	for i := range *table {
		if at := (*table)[i].offset(b); at >= 0 {
			return (*table)[i].locate(to, at, len(b)), true
		}
	}
	return to, false
}

// fixed reports whether memory comes from a device's Alloc.
func (m *Memory) fixed() bool {
	if m == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.source != nil
}

// alloc returns n bytes from the device's Alloc, within reach of the device if there is one now.
func (m *Memory) alloc(n int) ([]byte, func() error, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, free, err := m.source.Alloc(n)
	if err != nil {
		return nil, nil, err
	}
	r := &region{bytes: b}
	if m.mapped != nil {
		if err := r.mapFor(m.mapped); err != nil {
			return nil, nil, errors.Join(err, free())
		}
	}
	m.regions = append(m.regions, r)
	m.publish()
	return b, func() error {
		m.forget(r)
		return free()
	}, nil
}

// forget takes a region out of the books.
func (m *Memory) forget(r *region) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.regions = slices.DeleteFunc(m.regions, func(o *region) bool { return o == r })
	m.publish()
}

// publish tells Locate of the regions. The caller holds m.mu.
func (m *Memory) publish() {
	if m.mapped == nil {
		return
	}
	table := make([]region, len(m.regions))
	for i, r := range m.regions {
		table[i] = *r
	}
	m.table.Store(&table)
}

// mapFor has the device reach the region.
func (r *region) mapFor(device Reach) error {
	extents, err := device.Map(r.bytes)
	if err != nil {
		return fmt.Errorf("mapping %d bytes for the device: %w", len(r.bytes), err)
	}
	ends, end := make([]int, len(extents)), 0
	for i, e := range extents {
		end += e.Len
		ends[i] = end
	}
	if end != len(r.bytes) {
		return fmt.Errorf("mapping %d bytes for the device: it reaches %d", len(r.bytes), end)
	}
	r.extents, r.ends = extents, ends
	return nil
}

// offset is where in the region b is; -1: not, or not all of it.
func (r *region) offset(b []byte) int {
	start, at := addressOf(r.bytes), addressOf(b)
	if at < start || at-start > uintptr(len(r.bytes)) || uintptr(len(b)) > uintptr(len(r.bytes))-(at-start) {
		return -1
	}
	return int(at - start)
}

// locate appends the extents of n bytes at offset at.
func (r *region) locate(to []Extent, at, n int) []Extent {
	i, _ := slices.BinarySearch(r.ends, at+1)
	for ; n > 0; i++ {
		e := r.extents[i]
		skip := at - (r.ends[i] - e.Len)
		here := min(n, e.Len-skip)
		to = append(to, Extent{Addr: e.Addr + uint64(skip), Len: here})
		at, n = at+here, n-here
	}
	return to
}

// addressOf is where b begins. Memory outside the Go heap, which is all that a
// region has, does not move; other memory is only compared with it.
func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }
