package node_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"golang.org/x/sys/unix"
)

// readOnlySys tells the test below that it runs in a mount name space of its own.
const readOnlySys = "CSI9P_TEST_READ_ONLY_SYS"

// TestLimitsThatCannotBeSet: where /sys is read-only a volume that is written
// back is mounted and works all the same, and the log says what it lacks.
func TestLimitsThatCannotBeSet(t *testing.T) {
	if os.Getenv(readOnlySys) != "" {
		stageWithoutLimits(t)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), readOnlySys+"=1")
	child.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"the volume is slower for it", "read_ahead_kb: read-only file system", "max_ratio: read-only file system"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the log does not say %q:\n%s", want, out)
		}
	}
}

func stageWithoutLimits(t *testing.T) {
	if err := unix.Mount("", "/sys", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	k := newKubelet(t)
	alone := capability(csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER)
	k.must(k.stageAs("v", alone), k.publishAs("v", "a", alone))
	k.must(nodetest.WriteFile(filepath.Join(k.target("a"), "f"), "written"))
	if got, err := os.ReadFile(k.onServer("f")); err != nil || string(got) != "written" {
		t.Errorf("the server has %q, %v", got, err)
	}
	k.must(k.unpublish("v", "a"), k.unstage("v"))
}
