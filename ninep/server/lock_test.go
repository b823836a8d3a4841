package server_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/server"
)

type locker struct {
	*client
	fid  ninep.FID
	proc uint32
}

func (l locker) lock(kind ninep.LockType, start, length uint64) ninep.LockStatus {
	l.t.Helper()
	return ask[*ninep.Rlock](l.client, &ninep.Tlock{
		Fid: l.fid, Kind: kind, Start: start, Length: length, ProcID: l.proc, ClientID: "host", Flags: ninep.LockBlock,
	}).Status
}

// holder returns what keeps l from a write lock on the byte.
func (l locker) holder(at uint64) *ninep.Rgetlock {
	l.t.Helper()
	return ask[*ninep.Rgetlock](l.client, &ninep.Tgetlock{Fid: l.fid, Kind: ninep.WriteLock, Start: at, Length: 1, ProcID: l.proc, ClientID: "host"})
}

func (e *export) locker(proc uint32) locker {
	c := e.client(0)
	return locker{c, c.open(ninep.OpenReadWrite, "f"), proc}
}

func TestLocksBetweenConnections(t *testing.T) {
	e := newExport(t, server.Options{})
	e.write("f", "", 0o644)
	a, b := e.locker(1), e.locker(2)
	steps := []struct {
		who           locker
		kind          ninep.LockType
		start, length uint64
		want          ninep.LockStatus
	}{
		{a, ninep.ReadLock, 0, 100, ninep.LockSuccess},
		{b, ninep.ReadLock, 50, 100, ninep.LockSuccess},
		{a, ninep.WriteLock, 0, 50, ninep.LockSuccess},  // upgrades its own
		{a, ninep.WriteLock, 40, 20, ninep.LockBlocked}, // b reads 50 to 149
		{b, ninep.ReadLock, 49, 1, ninep.LockBlocked},   // a writes 0 to 49
		{a, ninep.Unlock, 10, 10, ninep.LockSuccess},    // splits
		{b, ninep.WriteLock, 10, 10, ninep.LockSuccess}, // the hole
		{b, ninep.WriteLock, 9, 1, ninep.LockBlocked},   // its edges
		{b, ninep.WriteLock, 20, 1, ninep.LockBlocked},  //
		{b, ninep.WriteLock, 200, 0, ninep.LockSuccess}, // to the end, however far
		{a, ninep.ReadLock, 1 << 62, 1, ninep.LockBlocked},
		{b, ninep.Unlock, 0, 0, ninep.LockSuccess},
		{a, ninep.WriteLock, 0, 0, ninep.LockSuccess},
	}
	for i, s := range steps {
		if got := s.who.lock(s.kind, s.start, s.length); got != s.want {
			t.Fatalf("step %d: %+v: %d", i, s, got)
		}
	}
	if got := b.holder(7); got.Kind != ninep.WriteLock || got.Start != 0 || got.Length != 0 || got.ProcID != 1 {
		t.Errorf("the lock in the way: %+v", got)
	}
	if got := a.holder(7); got.Kind != ninep.Unlock {
		t.Errorf("its own lock is in its way: %+v", got)
	}
}

func TestLocksEndWithTheirFidAndConnection(t *testing.T) {
	e := newExport(t, server.Options{})
	e.write("f", "", 0o644)
	a, b := e.locker(1), e.locker(2)
	other := locker{a.client, a.open(ninep.OpenReadWrite, "f"), 1}
	a.lock(ninep.WriteLock, 0, 10)
	other.lock(ninep.WriteLock, 20, 10)
	a.clunk(a.fid)
	if got := b.lock(ninep.WriteLock, 0, 10); got != ninep.LockSuccess {
		t.Errorf("after the clunk: %d", got)
	}
	if got := b.lock(ninep.WriteLock, 20, 10); got != ninep.LockBlocked {
		t.Errorf("the lock of another fid is gone: %d", got)
	}
	a.nc.Close()
	deadline := time.Now().Add(10 * time.Second)
	for b.lock(ninep.WriteLock, 20, 10) != ninep.LockSuccess {
		if time.Now().After(deadline) {
			t.Fatal("a lock outlives its connection")
		}
	}
}

// A client that lost its connection meets its own locks on the next, and the end of the old one takes nothing from it.
func TestLocksAreTakenOverByTheSameHost(t *testing.T) {
	e := newExport(t, server.Options{})
	e.write("f", "", 0o644)
	old, next, other := e.clientOverTCP(0), e.clientOverTCP(0), e.locker(2)
	a := locker{old, old.open(ninep.OpenReadWrite, "f"), 1}
	b := locker{next, next.open(ninep.OpenReadWrite, "f"), 1}
	for _, l := range []locker{a, b} {
		if got := l.lock(ninep.WriteLock, 0, 0); got != ninep.LockSuccess {
			t.Fatalf("status %d", got)
		}
	}
	a.clunk(a.fid)
	if got := other.lock(ninep.ReadLock, 0, 1); got != ninep.LockBlocked {
		t.Errorf("the lock went with the old connection: %d", got)
	}
}

func TestLockArguments(t *testing.T) {
	e := newExport(t, server.Options{})
	e.write("f", "", 0o644)
	a := e.locker(1)
	a.fails(&ninep.Tlock{Fid: a.fid, Kind: 3}, unix.EINVAL)
	a.fails(&ninep.Tlock{Fid: a.fid, Start: 2, Length: 1<<64 - 1}, unix.EINVAL)
	a.fails(&ninep.Tlock{Fid: a.walk("f")}, unix.EBADF)
	if got := a.lock(ninep.WriteLock, 1<<64-1, 1); got != ninep.LockSuccess {
		t.Errorf("the last byte: %d", got)
	}
}
