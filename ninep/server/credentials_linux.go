package server

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The credentials of a single thread are changed by system calls that the C library and Go's syscall package would
// apply to all threads of a process: setgroups(2) and, with their own thread only by nature, setfsuid(2), setfsgid(2) and
// capset(2) (credentials(7), "C library/kernel differences").

// processCreds are what a thread goes back to.
type processCreds struct {
	gid    uint32
	groups []uint32
	caps   capabilities
	none   capabilities // effective; from which a thread can come back
}

// capabilities is what capset(2) version 3 takes: two words of each set.
type capabilities [2]unix.CapUserData

func (p *processCreds) load() error {
	p.gid = uint32(unix.Getegid())
	groups, err := unix.Getgroups()
	if err != nil {
		return fmt.Errorf("getgroups: %w", err)
	}
	for _, g := range groups {
		p.groups = append(p.groups, uint32(g))
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &p.caps[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	p.none = p.caps
	p.none[0].Effective, p.none[1].Effective = 0, 0
	return nil
}

// enter makes the calling goroutine act as the user, on a thread of its own, until leave. A user other than root has no
// capabilities meanwhile: setfsuid(2) takes away only those that concern file permissions, not the ones to set file
// capabilities and trusted attributes or to exceed quotas.
func (id *identity) enter() error {
	if !id.switched {
		return nil
	}
	runtime.LockOSThread()
	if err := setGroups(id.groups); err != nil { // nothing is changed yet that leave could not change back
		runtime.UnlockOSThread()
		return err
	}
	err := setIDs(id.uid, id.gid)
	if err == nil && id.uid != 0 {
		err = setCaps(&id.creds.own.none)
	}
	if err != nil {
		id.leave()
		return err
	}
	return nil
}

// leave gives the thread back. If its own credentials cannot be had again, the goroutine ends here, and the thread with
// it: a goroutine that ends locked to its thread takes that along (runtime.LockOSThread).
func (id *identity) leave() {
	if !id.switched {
		return
	}
	own := &id.creds.own
	if errors.Join(setCaps(&own.caps), setGroups(own.groups), setIDs(0, own.gid)) != nil {
		runtime.Goexit()
	}
	runtime.UnlockOSThread()
}

// enterIO is enter for I/O on a file that is open, which no permission bears on: only quotas, reserved blocks and setuid
// bits, that is the user and the capabilities. It costs half of what enter does.
func (id *identity) enterIO() error {
	if !id.switched || id.uid == 0 {
		return nil
	}
	runtime.LockOSThread()
	var err error = unix.EPERM
	if setID(unix.SYS_SETFSUID, id.uid) {
		err = setCaps(&id.creds.own.none)
	}
	if err != nil {
		id.leaveIO()
	}
	return err
}

// leaveIO is leave for enterIO.
func (id *identity) leaveIO() {
	if !id.switched || id.uid == 0 {
		return
	}
	if err := setCaps(&id.creds.own.caps); err != nil || !setID(unix.SYS_SETFSUID, 0) {
		runtime.Goexit()
	}
	runtime.UnlockOSThread()
}

// setGroups sets the thread's supplementary groups, all or none.
func setGroups(groups []uint32) error {
	var first unsafe.Pointer
	if len(groups) > 0 {
		first = unsafe.Pointer(&groups[0])
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0); errno != 0 {
		return errno
	}
	return nil
}

// setIDs sets the ids that the kernel checks the thread's file operations with. Both are read back, because setfsuid(2) and
// setfsgid(2) tell no errors.
func setIDs(uid, gid uint32) error {
	if !setID(unix.SYS_SETFSGID, gid) || !setID(unix.SYS_SETFSUID, uid) {
		return unix.EPERM
	}
	return nil
}

// setID calls setfsuid(2) or setfsgid(2), and once more with an invalid id to learn whether it did anything.
func setID(call uintptr, id uint32) bool {
	_, _, _ = unix.RawSyscall(call, uintptr(id), 0, 0)
	now, _, _ := unix.RawSyscall(call, uintptr(^uint32(0)), 0, 0)
	return uint32(now) == id
}

func setCaps(caps *capabilities) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if _, _, errno := unix.RawSyscall(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&caps[0])), 0); errno != 0 {
		return errno
	}
	return nil
}
