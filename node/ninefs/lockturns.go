package ninefs

import (
	"context"
	"sync"
)

// lockTurns makes the changes of one owner's locks on one file follow each other, so that this machine and the server carry them
// out in the same order: the threads of a process own its locks together, and can lock and unlock at the same time.
type lockTurns struct {
	mu    sync.Mutex
	turns map[turnKey]*lockTurn
}

type turnKey struct {
	file  fileKey
	owner lockOwner
}

type lockTurn struct {
	taken chan struct{} // holds one while somebody has the turn
	users int           // who have it or wait for it
}

// take waits for the turn, which is the caller's until it calls done.
func (t *lockTurns) take(ctx context.Context, key turnKey) (done func(), err error) {
	t.mu.Lock()
	turn := t.turns[key]
	if turn == nil {
		turn = &lockTurn{taken: make(chan struct{}, 1)}
		if t.turns == nil {
			t.turns = map[turnKey]*lockTurn{}
		}
		t.turns[key] = turn
	}
	turn.users++
	t.mu.Unlock()
	select {
	case turn.taken <- struct{}{}:
		return func() { <-turn.taken; t.leave(key, turn) }, nil
	case <-ctx.Done():
		t.leave(key, turn)
		return nil, ctx.Err()
	}
}

func (t *lockTurns) leave(key turnKey, turn *lockTurn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if turn.users--; turn.users == 0 {
		delete(t.turns, key)
	}
}
