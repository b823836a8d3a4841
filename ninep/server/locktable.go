package server

import (
	"math"
	"slices"
	"sync"

	"github.com/csi-9p/csi-9p/ninep"
)

// lockTable has the byte-range locks of all connections. Its zero value is ready.
type lockTable struct {
	mu    sync.Mutex
	files map[fileID][]heldLock
}

// lockOwner is who holds a lock: a process of a client, or an open file of it where the client maps flock(2).
type lockOwner struct {
	peer   string
	client string
	proc   uint32
}

// heldLock is a lock on the bytes first to last, both included.
type heldLock struct {
	first, last uint64
	write       bool
	owner       lockOwner
	via         *file // it ends with this
}

func (l *heldLock) overlaps(o *heldLock) bool { return l.first <= o.last && o.first <= l.last }

// conflicts reports whether l, held, keeps o from being granted.
func (l *heldLock) conflicts(o *heldLock) bool {
	return l.overlaps(o) && (l.write || o.write) && l.owner != o.owner
}

// lockRange translates start and length, of which 0 means to the end however far. It returns false for a range that
// leaves the numbers.
func lockRange(start, length uint64) (first, last uint64, ok bool) {
	if length == 0 {
		return start, math.MaxUint64, true
	}
	last = start + length - 1
	return start, last, last >= start
}

// find returns a lock that keeps want from being granted.
func (t *lockTable) find(want heldLock) (heldLock, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.blocker(&want)
}

func (t *lockTable) blocker(want *heldLock) (heldLock, bool) {
	for _, l := range t.files[want.via.id] {
		if l.conflicts(want) {
			return l, true
		}
	}
	return heldLock{}, false
}

// set grants a lock in place of what its owner holds in the range. Status is LockError if the connection holds too many.
func (t *lockTable) set(want heldLock) ninep.LockStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, found := t.blocker(&want); found {
		return ninep.LockBlocked
	}
	if want.via.conn.locks >= maxLocks {
		return ninep.LockError
	}
	want.via.locked.Store(true)
	t.carve(&want)
	t.insert(want)
	return ninep.LockSuccess
}

// unset gives back what the owner holds in the range.
func (t *lockTable) unset(gone heldLock) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.carve(&gone)
}

// drop gives back all locks that were taken through a file.
func (t *lockTable) drop(via *file) {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := t.files[via.id]
	via.conn.locks -= len(kept)
	kept = slices.DeleteFunc(kept, func(l heldLock) bool { return l.via == via })
	via.conn.locks += len(kept)
	t.store(via.id, kept)
}

// carve takes a range out of its owner's locks; one that reaches over both its ends is split.
func (t *lockTable) carve(out *heldLock) {
	locks := t.files[out.via.id]
	for i := 0; i < len(locks); i++ {
		l := locks[i]
		if l.owner != out.owner || !l.overlaps(out) {
			continue
		}
		var rest []heldLock
		if l.first < out.first {
			head := l
			head.last = out.first - 1
			rest = append(rest, head)
		}
		if l.last > out.last {
			tail := l
			tail.first = out.last + 1
			rest = append(rest, tail)
		}
		l.via.conn.locks += len(rest) - 1
		locks = slices.Replace(locks, i, i+1, rest...)
		i += len(rest) - 1
	}
	t.store(out.via.id, locks)
}

// insert adds a lock, and merges it with those of its kind that it touches. Its range must be free of its owner's.
func (t *lockTable) insert(l heldLock) {
	locks := slices.DeleteFunc(t.files[l.via.id], func(o heldLock) bool {
		if o.owner != l.owner || o.write != l.write || o.via != l.via {
			return false
		}
		before, after := o.last+1 == l.first && l.first != 0, l.last+1 == o.first && o.first != 0
		if before {
			l.first = o.first
		} else if after {
			l.last = o.last
		}
		if before || after {
			o.via.conn.locks--
		}
		return before || after
	})
	l.via.conn.locks++
	t.store(l.via.id, append(locks, l))
}

func (t *lockTable) store(id fileID, locks []heldLock) {
	if len(locks) == 0 {
		delete(t.files, id)
		return
	}
	if t.files == nil {
		t.files = make(map[fileID][]heldLock)
	}
	t.files[id] = locks
}
