// Package nsenter starts commands in the namespaces of another process.
package nsenter

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// kinds are the namespaces that are entered, in the order in which they are: the mount namespace last, because the
// files of /proc are looked up in the present one. A command enters the pid namespace as the child that it is.
var kinds = []struct {
	name string
	flag int
}{
	{"ipc", unix.CLONE_NEWIPC},
	{"uts", unix.CLONE_NEWUTS},
	{"net", unix.CLONE_NEWNET},
	{"pid", unix.CLONE_NEWPID},
	{"mnt", unix.CLONE_NEWNS},
}

// Target are the namespaces of a process, held open. It is safe for concurrent use.
type Target struct {
	files []*os.File
}

// Open opens the namespaces of the process.
func Open(pid int) (*Target, error) {
	var t Target
	for _, k := range kinds {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, k.name))
		if err != nil {
			t.Close()
			return nil, err
		}
		t.files = append(t.files, f)
	}
	return &t, nil
}

// Close lets go of the namespaces. Commands that were started live on.
func (t *Target) Close() {
	for _, f := range t.files {
		f.Close()
	}
}

// Start starts cmd inside. Its path is one of the target's mount namespace; its files are those of the caller.
func (t *Target) Start(cmd *exec.Cmd) error {
	started := make(chan error, 1)
	go func() {
		// The thread keeps the namespaces and ends with this goroutine, since it is never unlocked. The runtime
		// starts no thread from a locked one, which the kernel would refuse here.
		runtime.LockOSThread()
		started <- t.start(cmd)
	}()
	return <-started
}

func (t *Target) start(cmd *exec.Cmd) error {
	// A mount namespace can be entered by a thread that shares its root and working directory with no other.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	for i, k := range kinds {
		if err := unix.Setns(int(t.files[i].Fd()), k.flag); err != nil {
			return fmt.Errorf("entering the %s namespace: %w", k.name, err)
		}
	}
	return cmd.Start()
}
