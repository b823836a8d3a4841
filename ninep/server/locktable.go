package server

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"github.com/csi-9p/csi-9p/ninep"
)

// lockTable has the byte-range locks of all connections.
type lockTable struct {
	mu    sync.Mutex
	files map[fileID]*lockedFile
	host  func(*file) (*hostLocks, error) // opens the host's side of a file's locks
}

// lockedFile has the locks of one file.
type lockedFile struct {
	users int // guarded by the table's lock: those who have it in hand
	mu    sync.Mutex
	locks []heldLock
	host  *hostLocks // nil until the first lock
}

// lockOwner is who holds a lock: a process of a client, or an open file of it where the client maps flock(2).
type lockOwner struct {
	peer   string
	client string
	proc   uint32
}

// byteRange is the bytes first to last, both included.
type byteRange struct{ first, last uint64 }

// newByteRange translates start and length, of which 0 means to the end however far. It returns false for a range that
// leaves the numbers.
func newByteRange(start, length uint64) (byteRange, bool) {
	if length == 0 {
		return byteRange{start, math.MaxUint64}, true
	}
	last := start + length - 1
	return byteRange{start, last}, last >= start
}

func (r byteRange) overlaps(o byteRange) bool { return r.first <= o.last && o.first <= r.last }

// length is 0 for a range to the end.
func (r byteRange) length() uint64 {
	if r.last == math.MaxUint64 {
		return 0
	}
	return r.last - r.first + 1
}

// heldLock is a lock that is held or wanted.
type heldLock struct {
	byteRange
	write bool
	owner lockOwner
	via   *file // it ends with this
}

// conflicts reports whether l, held, keeps o from being granted.
func (l *heldLock) conflicts(o *heldLock) bool {
	return l.overlaps(o.byteRange) && (l.write || o.write) && l.owner != o.owner
}

// with runs call with a file's locks in hand.
func (t *lockTable) with(id fileID, call func(*lockedFile)) {
	f := t.take(id)
	defer t.put(id, f)
	f.mu.Lock()
	defer f.mu.Unlock()
	call(f)
}

func (t *lockTable) take(id fileID) *lockedFile {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.files[id]
	if f == nil {
		f = new(lockedFile)
		if t.files == nil {
			t.files = make(map[fileID]*lockedFile)
		}
		t.files[id] = f
	}
	f.users++
	return f
}

// put forgets a file without locks.
func (t *lockTable) put(id fileID, f *lockedFile) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.users--
	if f.users == 0 && len(f.locks) == 0 {
		f.host.close()
		delete(t.files, id)
	}
}

// find returns a lock that keeps want from being granted. One of the host's own has no owner but a process id.
func (t *lockTable) find(want heldLock) (found heldLock, ok bool) {
	t.with(want.via.id, func(f *lockedFile) {
		if found, ok = f.blocker(&want); ok || f.openHost(t, &want) != nil {
			return
		}
		found, ok = f.host.find(&want)
	})
	return found, ok
}

// set grants a lock in place of what its owner holds in the range.
func (t *lockTable) set(want heldLock) (status ninep.LockStatus) {
	t.with(want.via.id, func(f *lockedFile) { status = f.set(t, &want) })
	return status
}

// unset gives back what the owner holds in the range.
func (t *lockTable) unset(gone heldLock) {
	t.with(gone.via.id, func(f *lockedFile) {
		f.carve(&gone)
		f.releaseHost(gone.byteRange)
	})
}

// drop gives back all locks that were taken through a file.
func (t *lockTable) drop(via *file) {
	t.with(via.id, func(f *lockedFile) {
		var gone []byteRange
		f.locks = slices.DeleteFunc(f.locks, func(l heldLock) bool {
			if l.via == via {
				gone = append(gone, l.byteRange)
			}
			return l.via == via
		})
		via.conn.locks.give(int64(len(gone)))
		for _, r := range gone {
			f.releaseHost(r)
		}
	})
}

func (f *lockedFile) blocker(want *heldLock) (heldLock, bool) {
	for _, l := range f.locks {
		if l.conflicts(want) {
			return l, true
		}
	}
	return heldLock{}, false
}

func (f *lockedFile) set(t *lockTable, want *heldLock) ninep.LockStatus {
	if _, found := f.blocker(want); found {
		return ninep.LockBlocked
	}
	// A lock in the middle of another makes three of one.
	if quota := &want.via.conn.locks; quota.used.Load()+2 > quota.limit {
		return ninep.LockError
	}
	if err := f.openHost(t, want); err != nil {
		return ninep.LockError
	}
	// No other owner's lock conflicts, so that what the host is to hold in the range is just this.
	if !f.host.set(want.byteRange, want.write) {
		return ninep.LockBlocked
	}
	want.via.locked.Store(true)
	f.carve(want)
	f.insert(*want)
	return ninep.LockSuccess
}

func (f *lockedFile) openHost(t *lockTable, want *heldLock) (err error) {
	if f.host == nil {
		f.host, err = t.host(want.via)
	}
	return err
}

// releaseHost gives back the host's locks in a range where nobody holds one any more.
func (f *lockedFile) releaseHost(r byteRange) {
	slices.SortFunc(f.locks, func(a, b heldLock) int { return cmp.Compare(a.first, b.first) })
	next := r.first
	for _, l := range f.locks {
		if !l.overlaps(byteRange{next, r.last}) {
			continue
		}
		if l.first > next {
			f.host.release(byteRange{next, l.first - 1})
		}
		if l.last >= r.last {
			return
		}
		next = l.last + 1
	}
	f.host.release(byteRange{next, r.last})
}

// carve takes a range out of its owner's locks; one that reaches over both its ends is split.
func (f *lockedFile) carve(out *heldLock) {
	for i := 0; i < len(f.locks); i++ {
		l := f.locks[i]
		if l.owner != out.owner || !l.overlaps(out.byteRange) {
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
		l.via.conn.locks.give(1 - int64(len(rest)))
		f.locks = slices.Replace(f.locks, i, i+1, rest...)
		i += len(rest) - 1
	}
}

// insert adds a lock, and merges it with those of its kind that it touches. Its range must be free of its owner's.
func (f *lockedFile) insert(l heldLock) {
	l.via.conn.locks.give(-1)
	f.locks = slices.DeleteFunc(f.locks, func(o heldLock) bool {
		if o.owner != l.owner || o.write != l.write || o.via != l.via {
			return false
		}
		switch {
		case l.first != 0 && o.last == l.first-1:
			l.first = o.first
		case l.last != math.MaxUint64 && o.first == l.last+1:
			l.last = o.last
		default:
			return false
		}
		l.via.conn.locks.give(1)
		return true
	})
	f.locks = append(f.locks, l)
}
