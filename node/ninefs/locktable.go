package ninefs

import (
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/ninefs/rangelock"
)

// lockSpace tells fcntl(2)'s locks from flock(2)'s: on one machine they do not see each other.
type lockSpace uint8

const (
	posixLocks lockSpace = iota
	flockLocks
)

// lockOwner is who holds a lock: what the kernel of one mount calls an owner.
type lockOwner struct {
	fs    *FS
	id    uint64
	space lockSpace
}

type rangeLock = rangelock.Lock[lockOwner]

// lockKey is the file that a lock is on, for all mounts that show it. Of a file that shares its number with another it is the
// node as well: then the server alone brings the locks of several mounts together.
type lockKey struct {
	file fileKey
	twin *node
}

// LockTable grants the locks of this machine, before the server is asked. Mounts that can show the same files share one.
// It is safe for concurrent use.
type LockTable struct {
	mu    sync.Mutex
	files map[lockKey]*fileLocks
}

// fileLocks is the locks on one file and those who wait for one, first come first.
type fileLocks struct {
	held    [2]rangelock.Set[lockOwner] // by lockSpace
	waiting []*lockWaiter
}

// lockWaiter is a lock that was not to be had. granted is called once it is, without any lock held.
type lockWaiter struct {
	key     lockKey
	want    rangeLock
	before  []rangeLock // what the owner held of the range when it was granted
	granted func()
}

// NewLockTable makes an empty table.
func NewLockTable() *LockTable { return &LockTable{files: map[lockKey]*fileLocks{}} }

// try grants a lock, or reports that it conflicts. before is what the owner held of the range: see restore.
func (t *LockTable) try(key lockKey, want rangeLock) (before []rangeLock, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.file(key).grant(want)
}

// wait has granted called once a lock is granted, or grants it now. EDEADLK: the wait would never end.
func (t *LockTable) wait(w *lockWaiter) (now bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.file(w.key)
	if w.before, now = f.grant(w.want); now {
		return true, nil
	}
	if w.want.Owner.space == posixLocks && t.deadlock(f, w.want, w.want.Owner, map[lockOwner]bool{}) {
		return false, unix.EDEADLK
	}
	f.waiting = append(f.waiting, w)
	return false, nil
}

// renew grants a lock again that its owner gave back since it was granted, or puts it among those who wait: false.
func (t *LockTable) renew(w *lockWaiter) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.file(w.key)
	held := f.held[w.want.Owner.space].Held(w.want.Owner, w.want.First, w.want.Last)
	if len(held) == 1 && held[0] == w.want {
		return true
	}
	before, ok := f.grant(w.want)
	if w.before = before; !ok {
		f.waiting = append(f.waiting, w)
	}
	return ok
}

// cancel ends a wait; false: the lock was granted before.
func (t *LockTable) cancel(w *lockWaiter) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.file(w.key)
	defer t.tidy(w.key, f)
	i := slices.Index(f.waiting, w)
	if i < 0 {
		return false
	}
	f.waiting = slices.Delete(f.waiting, i, i+1)
	return true
}

// release takes from an owner what it holds of a range.
func (t *LockTable) release(key lockKey, owner lockOwner, first, last uint64) {
	t.change(key, func(f *fileLocks) { f.held[owner.space].Release(owner, first, last) })
}

// restore puts back what an owner held before it was granted a lock that the server then refused.
func (t *LockTable) restore(key lockKey, l rangeLock, before []rangeLock) {
	t.change(key, func(f *fileLocks) {
		set := &f.held[l.Owner.space]
		set.Release(l.Owner, l.First, l.Last)
		for _, b := range before {
			set.Grant(b)
		}
	})
}

// conflict returns a lock that is in the way of another.
func (t *LockTable) conflict(key lockKey, want rangeLock) (rangeLock, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.files[key]; f != nil {
		if in := f.held[want.Owner.space].Conflicts(want); len(in) > 0 {
			return in[0], true
		}
	}
	return rangeLock{}, false
}

// holds reports whether an owner holds anything of a range.
func (t *LockTable) holds(key lockKey, owner lockOwner, first, last uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.files[key]
	return f != nil && len(f.held[owner.space].Held(owner, first, last)) > 0
}

// leave ends what a mount holds of a file or waits for.
func (t *LockTable) leave(fs *FS, key lockKey) {
	t.change(key, func(f *fileLocks) {
		f.waiting = slices.DeleteFunc(f.waiting, func(w *lockWaiter) bool { return w.want.Owner.fs == fs })
		for i := range f.held {
			f.held[i].ReleaseIf(func(o lockOwner) bool { return o.fs == fs })
		}
	})
}

// change gives locks back and grants those that waited for them.
func (t *LockTable) change(key lockKey, give func(*fileLocks)) {
	t.mu.Lock()
	f := t.file(key)
	give(f)
	var granted []*lockWaiter
	f.waiting = slices.DeleteFunc(f.waiting, func(w *lockWaiter) bool {
		before, ok := f.grant(w.want)
		if ok {
			w.before = before
			granted = append(granted, w)
		}
		return ok
	})
	t.tidy(key, f)
	t.mu.Unlock()
	for _, w := range granted {
		w.granted()
	}
}

// deadlock reports whether somebody who is in the way of want waits, by way of others or not, for owner.
func (t *LockTable) deadlock(f *fileLocks, want rangeLock, owner lockOwner, seen map[lockOwner]bool) bool {
	for _, in := range f.held[want.Owner.space].Conflicts(want) {
		if in.Owner == owner {
			return true
		}
		if seen[in.Owner] {
			continue
		}
		seen[in.Owner] = true
		for _, g := range t.files {
			for _, w := range g.waiting {
				if w.want.Owner == in.Owner && t.deadlock(g, w.want, owner, seen) {
					return true
				}
			}
		}
	}
	return false
}

func (t *LockTable) file(key lockKey) *fileLocks {
	f := t.files[key]
	if f == nil {
		f = &fileLocks{}
		t.files[key] = f
	}
	return f
}

func (t *LockTable) tidy(key lockKey, f *fileLocks) {
	if len(f.waiting) == 0 && f.held[posixLocks].Empty() && f.held[flockLocks].Empty() {
		delete(t.files, key)
	}
}

func (f *fileLocks) grant(want rangeLock) (before []rangeLock, ok bool) {
	set := &f.held[want.Owner.space]
	if len(set.Conflicts(want)) > 0 {
		return nil, false
	}
	before = set.Held(want.Owner, want.First, want.Last)
	set.Grant(want)
	return before, true
}
