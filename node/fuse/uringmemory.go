package fuse

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ringMemory is what payloads land in on io_uring: a memfd, cut into ranges of one size.
//
// The kernel takes the address of an entry's payload once, for good. So that a range can be with somebody else although the
// entry gets its next request, each range that is used is mapped twice: where the kernel has it, in the entry's window, and
// where everybody else has it, in [ringPayload.bytes]. An entry whose range was taken gets another range behind its window.
type ringMemory struct {
	fd   int
	size int // of a range

	mu      sync.Mutex
	ranges  int
	spare   []*ringPayload // ranges behind no window
	starved []func(*ringPayload)
	mapped  [][]byte
}

// ringPayload is a range: the [Buffer] of the requests whose payload is in it.
type ringPayload struct {
	loop   *uringLoop
	offset int64
	bytes  []byte
}

func (p *ringPayload) Bytes() []byte { return p.bytes }

// Release gives back a range that was taken from its request.
func (p *ringPayload) Release() {
	p.loop.memory.punch(p)
	p.loop.memory.giveBack(p)
	p.loop.release()
}

func newRingMemory(size int) (*ringMemory, error) {
	fd, err := unix.MemfdCreate("fuse-payloads", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	return &ringMemory{fd: fd, size: size}, nil
}

// place is the memory of one entry.
type place struct {
	head    *uringHead
	window  []byte
	payload *ringPayload
}

// grow makes n places, and n spare ranges with them. They cost address space; memory only once it is touched.
func (m *ringMemory) grow(l *uringLoop, n int) ([]place, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	offset := int64(m.ranges) * int64(m.size)
	if err := unix.Ftruncate(m.fd, offset+2*int64(n)*int64(m.size)); err != nil {
		return nil, fmt.Errorf("ftruncate: %w", err)
	}
	heads, err1 := m.mmap(-1, 0, n*int(unsafe.Sizeof(uringHead{})), unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	windows, err2 := m.mmap(m.fd, offset, n*m.size, unix.MAP_SHARED)
	bytes, err3 := m.mmap(m.fd, offset, 2*n*m.size, unix.MAP_SHARED)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("map payloads: %w", err)
	}
	m.ranges += 2 * n
	places := make([]place, n)
	for i := range 2 * n {
		at := i * m.size
		p := &ringPayload{loop: l, offset: offset + int64(at), bytes: bytes[at : at+m.size : at+m.size]}
		if i >= n {
			m.spare = append(m.spare, p)
			continue
		}
		places[i] = place{head: &headsOf(heads, n)[i], window: windows[at : at+m.size : at+m.size], payload: p}
	}
	return places, nil
}

func (m *ringMemory) mmap(fd int, offset int64, length, flags int) ([]byte, error) {
	mem, err := unix.Mmap(fd, offset, length, unix.PROT_READ|unix.PROT_WRITE, flags)
	if err == nil {
		m.mapped = append(m.mapped, mem)
	}
	return mem, err
}

// get calls f with a spare range: now, or when one is put back. So there are never more ranges with others than entries.
func (m *ringMemory) get(f func(*ringPayload)) {
	m.mu.Lock()
	n := len(m.spare)
	if n == 0 {
		m.starved = append(m.starved, f)
		m.mu.Unlock()
		return
	}
	p := m.spare[n-1]
	m.spare = m.spare[:n-1]
	m.mu.Unlock()
	f(p)
}

// giveBack takes back a range that is behind no window.
func (m *ringMemory) giveBack(p *ringPayload) {
	m.mu.Lock()
	if len(m.starved) == 0 {
		m.spare = append(m.spare, p)
		m.mu.Unlock()
		return
	}
	f := m.starved[0]
	m.starved = slices.Delete(m.starved, 0, 1)
	m.mu.Unlock()
	f(p)
}

// put puts p behind a window, which no request of the kernel uses.
func (m *ringMemory) put(window []byte, p *ringPayload) error {
	if err := remap(window, m.fd, p.offset); err != nil {
		return fmt.Errorf("map a payload: %w", err)
	}
	return nil
}

// punch gives the pages of a range back to the system.
func (m *ringMemory) punch(p *ringPayload) {
	// It fails on no memfd, and then the worst is memory that stays resident.
	_ = unix.Fallocate(m.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, p.offset, int64(m.size))
}

func (m *ringMemory) close() {
	for _, mem := range m.mapped {
		_ = unix.Munmap(mem)
	}
	_ = unix.Close(m.fd)
}
