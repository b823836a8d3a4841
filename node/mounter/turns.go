package mounter

import (
	"context"
	"fmt"
	"sync"
)

// turns lets one call at a time work on a volume; the others wait, as long as
// their contexts do. The zero value is ready.
type turns struct {
	mu   sync.Mutex
	busy map[string]chan struct{} // closed when the turn ends
}

// take waits for the turn; done ends it.
func (t *turns) take(ctx context.Context, id string) (done func(), err error) {
	for {
		t.mu.Lock()
		current, busy := t.busy[id]
		if !busy {
			mine := make(chan struct{})
			if t.busy == nil {
				t.busy = make(map[string]chan struct{})
			}
			t.busy[id] = mine
			t.mu.Unlock()
			return func() { t.end(id, mine) }, nil
		}
		t.mu.Unlock()
		select {
		case <-current:
		case <-ctx.Done():
			return nil, fmt.Errorf("another call on volume %s is under way: %w", id, context.Cause(ctx))
		}
	}
}

func (t *turns) end(id string, mine chan struct{}) {
	t.mu.Lock()
	delete(t.busy, id)
	t.mu.Unlock()
	close(mine)
}
