package health

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/test/lab"
)

// A node service that could not mount says so and what to do, and does not start.
func TestNodeChecks(t *testing.T) {
	lab.NeedRoot(t)
	binary, err := os.Open(lab.Binary(t))
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	const run = "/proc/self/fd/3" // other users cannot go to the binary's directory
	for name, c := range map[string]struct {
		without []string
		tells   string
	}{
		"root":       {[]string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}, "root with CAP_SYS_ADMIN"},
		"capability": {[]string{"setpriv", "--bounding-set=-sys_admin"}, "root with CAP_SYS_ADMIN"},
		"device":     {[]string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs none /dev && exec "$@"`, "sh"}, "modprobe fuse"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := lab.Dir(t)
			socket := "unix://" + filepath.Join(dir, "node.sock")
			argv := append(c.without, run, "node", "--nodeid", "n", "--endpoint", socket, "--mounter", socket)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // it ends by itself
			defer cancel()
			cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
			cmd.ExtraFiles = []*os.File{binary}
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.tells) || strings.Contains(string(out), "ready") {
				t.Errorf("%v\n%s", err, out)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
				t.Errorf("left %q", left)
			}
		})
	}
}
