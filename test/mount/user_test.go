package mount_test

import (
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

// as calls do as a user, on a thread that ends with it: a goroutine that ends locked takes its thread along.
func as(u user, do func() error) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err = u.become(); err == nil {
			err = do()
		}
	}()
	<-done
	return err
}

// become makes the calling thread the user's. What package syscall has for it would change all threads.
func (u user) become() error {
	if u.uid == 0 {
		return nil
	}
	if err := unix.Setgroups(u.groups); err != nil {
		return err
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(u.gid), uintptr(u.gid), uintptr(u.gid)); errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(u.uid), uintptr(u.uid), uintptr(u.uid)); errno != 0 {
		return errno
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
