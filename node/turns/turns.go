// Package turns makes those who work on one thing do so one after another.
package turns

import (
	"context"
	"sync"
)

// Turns are the turns of things by key. The zero value is ready. It is safe for concurrent use.
type Turns[K comparable] struct {
	mu    sync.Mutex
	turns map[K]*turn
}

type turn struct {
	taken chan struct{} // holds one while somebody has the turn
	users int           // who have it or wait for it
}

// Take waits for the turn, which is the caller's until it calls done, or for the end of ctx, whose cause it returns then. Who
// came first gets it first. A turn that nobody has is given whatever ctx says.
func (t *Turns[K]) Take(ctx context.Context, key K) (done func(), err error) {
	mine := t.enter(key)
	done = func() { <-mine.taken; t.leave(key, mine) }
	select {
	case mine.taken <- struct{}{}:
		return done, nil
	default:
	}
	select {
	case mine.taken <- struct{}{}:
		return done, nil
	case <-ctx.Done():
		t.leave(key, mine)
		return nil, context.Cause(ctx)
	}
}

func (t *Turns[K]) enter(key K) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	mine := t.turns[key]
	if mine == nil {
		mine = &turn{taken: make(chan struct{}, 1)}
		if t.turns == nil {
			t.turns = map[K]*turn{}
		}
		t.turns[key] = mine
	}
	mine.users++
	return mine
}

func (t *Turns[K]) leave(key K, mine *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if mine.users--; mine.users == 0 {
		delete(t.turns, key)
	}
}
