package ninetest

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

var lockRules = []rule{
	{"write-lock-excludes-other-sessions", lockExclusive},
	{"read-locks-are-shared", lockShared},
	{"ranges-are-separate", lockRanges},
	{"owners-of-one-session-conflict", lockOwners},
	{"one-owner-changes-its-locks", lockChanges},
	{"getlock-names-the-conflict", lockGet},
	{"released-by-clunk", lockClunk},
	{"released-by-disconnect", lockDisconnect},
	{"seen-by-the-servers-processes", lockHost},
}

// lock asks for a lock and fails unless the answer is want.
func (s *scope) lock(f *ninep.Fid, l ninep.Lock, want ninep.LockStatus) {
	s.tb.Helper()
	got, err := f.Lock(s.ctx, l)
	s.ok(err, "lock")
	if got != want {
		s.tb.Fatalf("%+v: status %d, want %d", l, got, want)
	}
}

// twoFids is one file open in two sessions.
func (s *scope) twoFids() (a, b *ninep.Fid, other *scope) {
	s.tb.Helper()
	a = s.create("f")
	s.write(a, random(10, 1000), 0)
	other = s.second()
	return a, other.openFile("f", unix.O_RDWR), other
}

func wholeFile(kind ninep.LockType) ninep.Lock { return ninep.Lock{Type: kind, ProcID: 1} }

func lockExclusive(s *scope) {
	a, b, _ := s.twoFids()
	s.lock(a, wholeFile(ninep.WriteLock), ninep.LockSuccess)
	s.lock(b, wholeFile(ninep.WriteLock), ninep.LockBlocked)
	s.lock(b, wholeFile(ninep.ReadLock), ninep.LockBlocked)
	s.lock(a, wholeFile(ninep.Unlock), ninep.LockSuccess)
	s.lock(b, wholeFile(ninep.WriteLock), ninep.LockSuccess)
	s.lock(a, wholeFile(ninep.WriteLock), ninep.LockBlocked)
}

func lockShared(s *scope) {
	a, b, _ := s.twoFids()
	s.lock(a, wholeFile(ninep.ReadLock), ninep.LockSuccess)
	s.lock(b, wholeFile(ninep.ReadLock), ninep.LockSuccess)
	s.lock(b, wholeFile(ninep.WriteLock), ninep.LockBlocked)
	s.lock(a, wholeFile(ninep.Unlock), ninep.LockSuccess)
	s.lock(b, wholeFile(ninep.WriteLock), ninep.LockSuccess)
}

func lockRanges(s *scope) {
	a, b, _ := s.twoFids()
	s.lock(a, ninep.Lock{Type: ninep.WriteLock, Start: 100, Length: 100, ProcID: 1}, ninep.LockSuccess)
	for _, test := range []struct {
		start, length uint64
		want          ninep.LockStatus
	}{
		{0, 100, ninep.LockSuccess},
		{0, 101, ninep.LockBlocked},
		{150, 1, ninep.LockBlocked},
		{199, 1, ninep.LockBlocked},
		{200, 1, ninep.LockSuccess},
		{0, 0, ninep.LockBlocked},
		{200, 0, ninep.LockSuccess},
		{1 << 40, 10, ninep.LockSuccess},
	} {
		s.lock(b, ninep.Lock{Type: ninep.WriteLock, Start: test.start, Length: test.length, ProcID: 1}, test.want)
		s.lock(b, wholeFile(ninep.Unlock), ninep.LockSuccess)
	}
	s.lock(a, ninep.Lock{Type: ninep.WriteLock, Start: 1000, ProcID: 1}, ninep.LockSuccess)
	s.lock(b, ninep.Lock{Type: ninep.ReadLock, Start: 1 << 50, Length: 1, ProcID: 1}, ninep.LockBlocked)
}

// lockOwners: two processes of one client have a fid each.
func lockOwners(s *scope) {
	a := s.create("f")
	b := s.openFile("f", unix.O_RDWR)
	s.lock(a, ninep.Lock{Type: ninep.WriteLock, Length: 10, ProcID: 1}, ninep.LockSuccess)
	s.lock(b, ninep.Lock{Type: ninep.WriteLock, Length: 10, ProcID: 2}, ninep.LockBlocked)
	s.lock(b, ninep.Lock{Type: ninep.WriteLock, Start: 10, Length: 10, ProcID: 2}, ninep.LockSuccess)
	s.lock(a, ninep.Lock{Type: ninep.WriteLock, Start: 15, Length: 1, ProcID: 1}, ninep.LockBlocked)
}

func lockChanges(s *scope) {
	a, b, _ := s.twoFids()
	mine := func(kind ninep.LockType, start, length uint64) {
		s.tb.Helper()
		s.lock(a, ninep.Lock{Type: kind, Start: start, Length: length, ProcID: 1}, ninep.LockSuccess)
	}
	theirs := func(kind ninep.LockType, start, length uint64, want ninep.LockStatus) {
		s.tb.Helper()
		s.lock(b, ninep.Lock{Type: kind, Start: start, Length: length, ProcID: 1}, want)
		s.lock(b, wholeFile(ninep.Unlock), ninep.LockSuccess)
	}
	mine(ninep.WriteLock, 0, 300)
	mine(ninep.WriteLock, 50, 100)
	mine(ninep.ReadLock, 100, 100)
	theirs(ninep.ReadLock, 100, 100, ninep.LockSuccess)
	theirs(ninep.ReadLock, 99, 1, ninep.LockBlocked)
	mine(ninep.Unlock, 120, 10)
	theirs(ninep.WriteLock, 120, 10, ninep.LockSuccess)
	theirs(ninep.WriteLock, 119, 1, ninep.LockBlocked)
	theirs(ninep.WriteLock, 130, 1, ninep.LockBlocked)
	theirs(ninep.ReadLock, 299, 1, ninep.LockBlocked)
	mine(ninep.Unlock, 0, 0)
	theirs(ninep.WriteLock, 0, 0, ninep.LockSuccess)
}

func lockGet(s *scope) {
	a, b, _ := s.twoFids()
	ask := ninep.Lock{Type: ninep.WriteLock, Start: 0, Length: 1000, ProcID: 2}
	free, err := b.GetLock(s.ctx, ask)
	s.ok(err, "getlock")
	if free.Type != ninep.Unlock {
		s.tb.Errorf("nothing is locked: %+v", free)
	}
	s.lock(a, ninep.Lock{Type: ninep.WriteLock, Start: 100, Length: 50, ProcID: 77}, ninep.LockSuccess)
	held, err := b.GetLock(s.ctx, ask)
	s.ok(err, "getlock")
	if held.Type != ninep.WriteLock || held.Start != 100 || held.Length != 50 || held.ProcID != 77 {
		s.tb.Errorf("got %+v", held)
	}
	if _, err := b.GetLock(s.ctx, ninep.Lock{Type: ninep.ReadLock, Start: 500, Length: 1, ProcID: 2}); err != nil {
		s.tb.Errorf("getlock beside it: %v", err)
	}
}

func lockClunk(s *scope) {
	a, b, _ := s.twoFids()
	s.lock(a, wholeFile(ninep.WriteLock), ninep.LockSuccess)
	s.clunk(a)
	s.lock(b, wholeFile(ninep.WriteLock), ninep.LockSuccess)
}

func lockDisconnect(s *scope) {
	a, b, other := s.twoFids()
	s.lock(b, wholeFile(ninep.WriteLock), ninep.LockSuccess)
	s.lock(a, wholeFile(ninep.WriteLock), ninep.LockBlocked)
	other.fids = nil
	s.ok(other.session.Close(), "close the other session")
	for {
		status, err := a.Lock(s.ctx, wholeFile(ninep.WriteLock))
		s.ok(err, "lock")
		if status == ninep.LockSuccess {
			return
		}
	}
}

// lockHost holds the server's locks against a process beside it. Locks of an
// open file description conflict with those of either kind (fcntl(2)).
func lockHost(s *scope) {
	s.needsRoot()
	f := s.create("f")
	s.lock(f, ninep.Lock{Type: ninep.WriteLock, Start: 100, Length: 50, ProcID: 1}, ninep.LockSuccess)
	local, err := os.OpenFile(s.hostPath("f"), os.O_RDWR, 0)
	s.ok(err, "open the server's file")
	defer local.Close()
	set := func(start int64) error {
		return unix.FcntlFlock(local.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Start: start, Len: 10})
	}
	s.fails(set(140), "lock what the server has locked", unix.EAGAIN, unix.EACCES)
	s.ok(set(150), "lock beside it")
	s.lock(f, ninep.Lock{Type: ninep.WriteLock, Start: 155, Length: 1, ProcID: 1}, ninep.LockBlocked)
}
