package residue_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/e2e/residue"
)

func TestCompareNamesWhatIsLeft(t *testing.T) {
	run := residue.Run{Dir: filepath.Join(t.TempDir(), "run"), Cgroup: "csi-9p-lab-residue-test"}
	before, err := residue.Look()
	if err != nil {
		t.Fatal(err)
	}
	if err := before.Compare(run); err != nil {
		t.Errorf("nothing is left, yet: %v", err)
	}

	if err := os.Mkdir(run.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", run.Dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(run.Dir, unix.MNT_DETACH)
	sleep := exec.Command("sleep", "60")
	sleep.Env = []string{residue.Marker + "=" + run.Dir}
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		sleep.Process.Kill()
		sleep.Wait()
	}()
	err = before.Compare(run)
	if err == nil {
		t.Fatal("a mount, a directory and a process are left, and nothing is said")
	}
	for _, want := range []string{"a mount is left: ", "a directory is left: " + run.Dir, `a process is left: `} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}
