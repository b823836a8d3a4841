package nsenter_test

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/csi-9p/csi-9p/test/e2e/nsenter"
)

// TestStart starts commands in the namespaces of a process, several at once, and sees that they are there, and that the
// caller is where it was.
func TestStart(t *testing.T) {
	first := exec.Command("sleep", "60")
	first.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		first.Process.Kill()
		first.Wait()
	}()
	target, err := nsenter.Open(first.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()

	const script = `mount -t proc proc /proc && readlink /proc/1/exe && readlink /proc/self/ns/net && hostname inside && hostname`
	var outside string
	if outside, err = os.Readlink("/proc/self/ns/net"); err != nil {
		t.Fatal(err)
	}
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			var out strings.Builder
			cmd := exec.Command("sh", "-ec", script)
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := target.Start(cmd); err != nil {
				t.Error(err)
				return
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v: %s", err, out.String())
			}
			lines := strings.Fields(out.String())
			if len(lines) != 3 || !strings.HasSuffix(lines[0], "/sleep") || lines[1] == outside || lines[2] != "inside" {
				t.Errorf("inside it is %q", lines)
			}
		})
	}
	all.Wait()
	if now, err := os.Hostname(); err != nil || now != hostname {
		t.Errorf("the caller's host is now %s (%v)", now, err)
	}
}
