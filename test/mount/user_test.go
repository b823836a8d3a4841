package mount_test

import (
	"errors"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// user is whom a step is done as.
type user struct {
	uid, gid int
	groups   []int // supplementary
}

var (
	root = user{}
	ann  = user{uid: 1001, gid: 1001}
	bob  = user{uid: 1002, gid: 1002, groups: []int{1003}}
)

// as calls do as a user, on a thread that is root's again afterwards: the thread may have started children that end with it.
func as(u user, do func() error) error {
	if u.uid == 0 {
		return do()
	}
	groups, err := unix.Getgroups()
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer func() {
		if err := errors.Join(setThreadIDs(0, 0), unix.Setgroups(groups)); err != nil {
			panic(err)
		}
	}()
	if err := errors.Join(unix.Setgroups(u.groups), setThreadIDs(u.uid, u.gid)); err != nil {
		return err
	}
	return do()
}

// setThreadIDs sets the calling thread's ids, but for the saved ones, which stay root's. What package syscall has for it
// changes all threads.
func setThreadIDs(uid, gid int) error {
	first, second := []uintptr{unix.SYS_SETRESGID, uintptr(gid)}, []uintptr{unix.SYS_SETRESUID, uintptr(uid)}
	if uid == 0 {
		first, second = second, first
	}
	for _, call := range [][]uintptr{first, second} {
		if _, _, errno := unix.RawSyscall(call[0], call[1], call[1], 0); errno != 0 {
			return errno
		}
	}
	return nil
}

// step is one call and the errno that it has to end with, 0 for success.
type step struct {
	who  user
	what string
	want unix.Errno
	do   func() error
}

// carryOut does steps in their order.
func carryOut(t *testing.T, steps []step) {
	t.Helper()
	for _, s := range steps {
		switch err := as(s.who, s.do); {
		case s.want != 0:
			wants(t, s.what, err, s.want)
		case err != nil:
			t.Errorf("%s: %v", s.what, err)
		}
	}
}
