package server

import (
	"errors"
	"math"

	"golang.org/x/sys/unix"
)

// hostLocks are the host's side of a file's locks: what clients hold, all together, is held on one open file description
// of the server (F_OFD_SETLK of fcntl(2)), so that processes of the host and clients keep out of each other's way. Where
// the host cannot lock, as with directories or without permission to write, clients' locks bind clients only.
type hostLocks struct {
	fd  int
	fds *quota // the descriptor counts there
}

// openLocks opens the file that f stands for once more, to lock it: for writing, or else for reading.
func (s *Server) openLocks(f *file) (*hostLocks, error) {
	if !s.fds.take(1) {
		return nil, unix.ENFILE
	}
	fd, err := s.reopen(f.fd, unix.O_RDWR)
	if err != nil {
		fd, err = s.reopen(f.fd, unix.O_RDONLY)
	}
	if err != nil {
		s.fds.give(1)
		fd = -1
	}
	return &hostLocks{fd: fd, fds: &s.fds}, nil
}

// close gives all locks back. A nil receiver has none.
func (h *hostLocks) close() {
	if h != nil && h.fd >= 0 {
		unix.Close(h.fd)
		h.fds.give(1)
	}
}

// set locks the range. It returns false if a process of the host is in the way.
func (h *hostLocks) set(r byteRange, write bool) bool {
	err := h.fcntl(unix.F_OFD_SETLK, r, write, nil)
	return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES)
}

// release unlocks the range, if it is locked at all. A nil receiver has nothing locked.
func (h *hostLocks) release(r byteRange) {
	if h == nil || h.fd < 0 || r.first > math.MaxInt64 {
		return
	}
	lock := newFlock(unix.F_UNLCK, r)
	// Where it fails the host could not lock either.
	_ = unix.FcntlFlock(uintptr(h.fd), unix.F_OFD_SETLK, &lock)
}

// find returns a lock of the host's processes that is in the way.
func (h *hostLocks) find(want *heldLock) (heldLock, bool) {
	var lock unix.Flock_t
	if err := h.fcntl(unix.F_OFD_GETLK, want.byteRange, want.write, &lock); err != nil || lock.Type == unix.F_UNLCK {
		return heldLock{}, false
	}
	held, ok := newByteRange(uint64(lock.Start), uint64(lock.Len))
	// Open file descriptions have no process: -1.
	return heldLock{byteRange: held, write: lock.Type == unix.F_WRLCK, owner: lockOwner{proc: uint32(max(lock.Pid, 0))}}, ok
}

func (h *hostLocks) fcntl(cmd int, r byteRange, write bool, out *unix.Flock_t) error {
	if h.fd < 0 || r.first > math.MaxInt64 {
		return unix.EOPNOTSUPP
	}
	kind := int16(unix.F_RDLCK)
	if write {
		kind = unix.F_WRLCK
	}
	lock := newFlock(kind, r)
	err := unix.FcntlFlock(uintptr(h.fd), cmd, &lock)
	if out != nil {
		*out = lock
	}
	return err
}

// newFlock translates a range. The host's offsets end at 2^63-1; beyond is to the end, which is length 0.
func newFlock(kind int16, r byteRange) unix.Flock_t {
	lock := unix.Flock_t{Type: kind, Start: int64(r.first)}
	if r.last < math.MaxInt64 {
		lock.Len = int64(r.last - r.first + 1)
	}
	return lock
}
