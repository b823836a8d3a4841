package server

import (
	"math/rand/v2"
	"testing"

	"github.com/csi-9p/csi-9p/ninep"
)

// TestLockTableAgainstModel compares the table with one that knows the lock of every owner on every byte.
func TestLockTableAgainstModel(t *testing.T) {
	const size, owners, steps = 24, 3, 20000
	random := rand.New(rand.NewPCG(1, 2))
	c := &conn{}
	files := make([]*file, owners)
	for i := range files {
		files[i] = &file{conn: c, id: fileID{1, 2}}
	}
	var table lockTable
	var model [owners][size]ninep.LockType
	reset := func(o int) {
		for b := range size {
			model[o][b] = ninep.Unlock
		}
	}
	for o := range owners {
		reset(o)
	}
	for step := range steps {
		o, first := random.IntN(owners), random.IntN(size)
		last := first + random.IntN(size-first)
		kind := ninep.LockType(random.IntN(3))
		l := heldLock{
			first: uint64(first), last: uint64(last), write: kind == ninep.WriteLock,
			owner: lockOwner{proc: uint32(o)}, via: files[o],
		}
		want := ninep.LockSuccess
		for other := range owners {
			for b := first; b <= last && other != o && kind != ninep.Unlock; b++ {
				if held := model[other][b]; held == ninep.WriteLock || held == ninep.ReadLock && kind == ninep.WriteLock {
					want = ninep.LockBlocked
				}
			}
		}
		switch {
		case random.IntN(100) == 0:
			table.drop(files[o])
			reset(o)
			continue
		case kind == ninep.Unlock:
			table.unset(l)
		default:
			if got := table.set(l); got != want {
				t.Fatalf("step %d: owner %d, kind %d, bytes %d to %d: status %d, want %d", step, o, kind, first, last, got, want)
			}
		}
		if want == ninep.LockSuccess {
			for b := first; b <= last; b++ {
				model[o][b] = kind
			}
		}
		runs := 0
		for o := range owners {
			for b := range size {
				if model[o][b] != ninep.Unlock && (b == 0 || model[o][b-1] != model[o][b]) {
					runs++
				}
			}
		}
		if held := len(table.files[fileID{1, 2}]); held != runs || c.locks != runs {
			t.Fatalf("step %d: %d locks in the table, %d counted, %d in the model", step, held, c.locks, runs)
		}
	}
	for o := range owners {
		table.drop(files[o])
	}
	if len(table.files) != 0 || c.locks != 0 {
		t.Errorf("at the end %d files have locks, and %d are counted", len(table.files), c.locks)
	}
}
