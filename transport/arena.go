package transport

import (
	"context"
	"errors"
)

// ErrSlotSize is wrapped by the error of a Get for more than a slot holds.
var ErrSlotSize = errors.New("transport: larger than an arena slot")

// ArenaOptions shape an Arena.
type ArenaOptions struct {
	// SlotSize is the length of the largest slots in bytes.
	SlotSize int
	// Limit is how many bytes all slots in use may have together.
	Limit int64
}

// Arena is payload memory.
type Arena struct{}

// Slot is a piece of an Arena.
type Slot struct{}

// NewArena makes an arena.
func NewArena(o ArenaOptions) (*Arena, error) { return &Arena{}, nil }

// Get returns a slot of n bytes at least and waits for one.
func (a *Arena) Get(ctx context.Context, n int) (*Slot, error) { return nil, nil }

// TryGet is Get without waiting: nil when there is none.
func (a *Arena) TryGet(n int) *Slot { return nil }

// Close ends the arena.
func (a *Arena) Close() error { return nil }

// Bytes is the slot's memory.
func (s *Slot) Bytes() []byte { return nil }

// Release gives the slot back.
func (s *Slot) Release() {}
