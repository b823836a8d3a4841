package ninep_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// lockable makes a file and opens it in two sessions.
func lockable(t *testing.T, g *gate) (s *ninep.Session, mine, theirs *ninep.Fid) {
	t.Helper()
	ctx := testContext(t)
	s, root := g.open(ninep.Config{})
	mine = must(root.Walk(ctx))(t)
	ok(t, mine.Create(ctx, "f", unix.O_RDWR, 0o600, 0))
	_, other := g.open(ninep.Config{})
	theirs = must(other.Walk(ctx, "f"))(t)
	ok(t, theirs.Open(ctx, unix.O_RDWR))
	return s, mine, theirs
}

func lockIs(t *testing.T, f *ninep.Fid, l ninep.Lock, want ninep.LockStatus) {
	t.Helper()
	if got, err := f.Lock(testContext(t), l); err != nil || got != want {
		t.Errorf("lock %+v: status %d, %v, want %d", l, got, err, want)
	}
}

// TestLocks: two sessions are two owners, even with the same process number.
func TestLocks(t *testing.T) {
	g := newGate(t)
	var mu sync.Mutex
	clients := map[string]bool{}
	g.intercept(func(_ *pair, _ uint16, m ninep.Message) bool {
		if l, ok := m.(*ninep.Tlock); ok {
			mu.Lock()
			clients[l.ClientID] = true
			mu.Unlock()
		}
		return true
	})
	_, mine, theirs := lockable(t, g)
	l := ninep.Lock{Type: ninep.WriteLock, Start: 10, Length: 10, ProcID: 7}
	lockIs(t, mine, l, ninep.LockSuccess)
	lockIs(t, theirs, l, ninep.LockBlocked)
	lockIs(t, theirs, ninep.Lock{Type: ninep.WriteLock, Start: 20, ProcID: 7}, ninep.LockSuccess)
	if got, err := theirs.GetLock(testContext(t), l); err != nil || got.Type != ninep.WriteLock || got.Start != 10 || got.Length != 10 {
		t.Errorf("%+v, %v", got, err)
	}
	l.Type = ninep.Unlock
	lockIs(t, mine, l, ninep.LockSuccess)
	l.Type = ninep.WriteLock
	if got, err := theirs.GetLock(testContext(t), l); err != nil || got.Type != ninep.Unlock {
		t.Errorf("%+v, %v", got, err)
	}
	lockIs(t, theirs, l, ninep.LockSuccess)
	if len(clients) != 2 {
		t.Errorf("clients %v", clients)
	}
}

// TestReconnectRelocks: locks are held again after a reconnect, those and only those that were held.
func TestReconnectRelocks(t *testing.T) {
	g := newGate(t)
	s, mine, _ := lockable(t, g)
	lockIs(t, mine, ninep.Lock{Type: ninep.WriteLock, Start: 0, Length: 100, ProcID: 1}, ninep.LockSuccess)
	lockIs(t, mine, ninep.Lock{Type: ninep.Unlock, Start: 40, Length: 20, ProcID: 1}, ninep.LockSuccess)
	g.cut()
	eventually(t, "a reconnect", func() bool { return s.Status().Reconnects == 1 })
	ctx := testContext(t)
	_, root := g.open(ninep.Config{})
	f := must(root.Walk(ctx, "f"))(t)
	ok(t, f.Open(ctx, unix.O_RDWR))
	lockIs(t, f, ninep.Lock{Type: ninep.WriteLock, Start: 39, Length: 1, ProcID: 1}, ninep.LockBlocked)
	lockIs(t, f, ninep.Lock{Type: ninep.WriteLock, Start: 60, Length: 1, ProcID: 1}, ninep.LockBlocked)
	lockIs(t, f, ninep.Lock{Type: ninep.WriteLock, Start: 40, Length: 20, ProcID: 1}, ninep.LockSuccess)
}

// TestReconnectLostLock: a fid whose lock another has taken meanwhile must not go on as if it held it.
func TestReconnectLostLock(t *testing.T) {
	g := newGate(t)
	s, mine, _ := lockable(t, g)
	lockIs(t, mine, ninep.Lock{Type: ninep.WriteLock, ProcID: 1}, ninep.LockSuccess)
	g.intercept(func(p *pair, tag uint16, m ninep.Message) bool {
		if l, ok := m.(*ninep.Tlock); ok && l.Flags&ninep.LockReclaim != 0 {
			p.reply(tag, &ninep.Rlock{Status: ninep.LockBlocked})
			return false
		}
		return true
	})
	g.cut()
	eventually(t, "a reconnect", func() bool { return s.Status().Reconnects == 1 })
	if _, err := mine.Write(testContext(t), []byte("x"), 0); !errors.Is(err, unix.EIO) {
		t.Errorf("write without the lock: %v", err)
	}
	ok(t, mine.Clunk(testContext(t)))
}

// TestReconnectRelocksPlainly: QEMU refuses every flag of Tlock but LockBlock.
func TestReconnectRelocksPlainly(t *testing.T) {
	g := newGate(t)
	_, mine, theirs := lockable(t, g)
	lockIs(t, mine, ninep.Lock{Type: ninep.WriteLock, ProcID: 1}, ninep.LockSuccess)
	g.intercept(func(p *pair, tag uint16, m ninep.Message) bool {
		if l, ok := m.(*ninep.Tlock); ok && l.Flags&^ninep.LockBlock != 0 {
			p.reply(tag, &ninep.Rlerror{Errno: uint32(unix.EINVAL)})
			return false
		}
		return true
	})
	g.cut()
	must(mine.Write(testContext(t), []byte("x"), 0))(t)
	lockIs(t, theirs, ninep.Lock{Type: ninep.WriteLock, ProcID: 1}, ninep.LockBlocked)
}

// TestUnlockWhileLost: a lock given back while the server was away is not taken again when it returns.
func TestUnlockWhileLost(t *testing.T) {
	g := newGate(t)
	ok(t, os.WriteFile(filepath.Join(g.root, "f"), nil, 0o600))
	ctx := testContext(t)
	s, root := g.open(ninep.Config{ReconnectTimeout: -1})
	f := must(root.Walk(ctx, "f"))(t)
	ok(t, f.Open(ctx, unix.O_RDWR))
	must(f.Lock(ctx, ninep.Lock{Type: ninep.WriteLock, Length: 10}))(t)
	g.kill()
	if _, err := f.Lock(ctx, ninep.Lock{Type: ninep.Unlock, Start: 2, Length: 3}); !errors.Is(err, ninep.ErrLost) {
		t.Errorf("unlock at a lost server: %v", err)
	}
	g.revive()
	eventually(t, "a reconnect", func() bool { return s.Status().Reconnects == 1 })

	_, other := g.open(ninep.Config{})
	o := must(other.Walk(ctx, "f"))(t)
	ok(t, o.Open(ctx, unix.O_RDWR))
	for _, c := range []struct {
		start uint64
		want  ninep.LockStatus
	}{{1, ninep.LockBlocked}, {2, ninep.LockSuccess}, {4, ninep.LockSuccess}, {5, ninep.LockBlocked}} {
		status, err := o.Lock(ctx, ninep.Lock{Type: ninep.WriteLock, Start: c.start, Length: 1})
		if err != nil || status != c.want {
			t.Errorf("byte %d, locked by another: %v, %v, want %v", c.start, status, err, c.want)
		}
	}
}
