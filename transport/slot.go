package transport

// Slot is a piece of an Arena. It has one owner at a time; what it held before
// is still in it.
type Slot struct {
	arena *Arena
	class *class
	bytes []byte
	next  *Slot // the next free one
	free  bool
}

// Bytes is the slot's memory: page aligned, its class's whole length, which can
// be more than was asked. It is not to be touched after Release.
func (s *Slot) Bytes() []byte { return s.bytes }

// Release gives the slot back to its arena. A second Release of what one Get
// returned panics: by then the memory may be another volume's.
func (s *Slot) Release() {
	s.arena.put(s)
	s.arena.budget.Release(int64(s.class.size))
}

// put takes a slot back as warm.
func (a *Arena) put(s *Slot) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.free {
		panic("transport: arena slot released twice")
	}
	c := s.class
	s.free, s.next, c.warm = true, c.warm, s
	a.used -= int64(c.size)
	a.warm += int64(c.size)
	if a.closed && a.used == 0 {
		// Munmap fails only for what is not mapped.
		_ = a.unmap()
	}
}
