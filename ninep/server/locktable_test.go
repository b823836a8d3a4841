package server

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// TestLockTableAgainstModel compares the table with one that knows the lock of every owner on every byte.
func TestLockTableAgainstModel(t *testing.T) {
	const size, owners, steps = 24, 3, 5000
	random := rand.New(rand.NewPCG(1, 2))
	c := &conn{locks: quota{limit: maxLocks}}
	files := make([]*file, owners)
	for i := range files {
		files[i] = &file{conn: c, id: fileID{1, 2}}
	}
	fds := quota{limit: 1}
	path := filepath.Join(t.TempDir(), "f")
	table := lockTable{host: func(*file) (*hostLocks, error) {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
		fds.take(1)
		return &hostLocks{fd: fd, fds: &fds}, err
	}}
	host, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
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
			byteRange: byteRange{uint64(first), uint64(last)}, write: kind == ninep.WriteLock,
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
			want = ninep.LockError
		case kind == ninep.Unlock:
			table.unset(l)
		default:
			if got := table.set(l); got != want {
				t.Fatalf("step %d: owner %d, kind %d, bytes %d to %d: status %d, want %d", step, o, kind, first, last, got, want)
			}
		}
		if want == ninep.LockSuccess || kind == ninep.Unlock {
			for b := first; b <= last; b++ {
				model[o][b] = kind
			}
		}
		runs := 0
		for b := range size {
			onHost := ninep.Unlock
			for o := range owners {
				if model[o][b] != ninep.Unlock {
					onHost = model[o][b]
					if b == 0 || model[o][b-1] != model[o][b] {
						runs++
					}
				}
			}
			if got := hostLock(t, host, b); got != onHost {
				t.Fatalf("step %d: the host has lock %d on byte %d, the model %d", step, got, b, onHost)
			}
		}
		held := 0
		if f := table.files[fileID{1, 2}]; f != nil {
			held = len(f.locks)
		}
		if held != runs || int(c.locks.used.Load()) != runs {
			t.Fatalf("step %d: %d locks in the table, %d counted, %d in the model", step, held, c.locks.used.Load(), runs)
		}
	}
	for o := range owners {
		table.drop(files[o])
	}
	if len(table.files) != 0 || c.locks.used.Load() != 0 || fds.used.Load() != 0 {
		t.Errorf("at the end %d files have locks, %d are counted, and %d descriptors", len(table.files), c.locks.used.Load(), fds.used.Load())
	}
}

// hostLock tells what a process of the host finds locked.
func hostLock(t *testing.T, host *os.File, at int) ninep.LockType {
	t.Helper()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: int64(at), Len: 1}
	if err := unix.FcntlFlock(host.Fd(), unix.F_OFD_GETLK, &lock); err != nil {
		t.Fatal(err)
	}
	switch lock.Type {
	case unix.F_RDLCK:
		return ninep.ReadLock
	case unix.F_WRLCK:
		return ninep.WriteLock
	}
	return ninep.Unlock
}
