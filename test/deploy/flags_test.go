package deploy_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The driver's binary knows every flag that it is given.
func TestFlags(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "csi-9p")
	build := exec.Command("go", "build", "-o", binary, "./cmd/csi-9p")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for origin, objects := range everything(t) {
		for _, w := range workloads(objects) {
			for _, c := range w.containers() {
				if strings.HasPrefix(c.Image, "ghcr.io/csi-9p/csi-9p:") {
					checkFlags(t, origin+": "+w.name+"/"+c.Name, binary, c.Args)
				}
			}
		}
	}
}

func checkFlags(t *testing.T, where, binary string, args []string) {
	t.Helper()
	help, err := exec.Command(binary, args[0], "--help").CombinedOutput()
	if err != nil || !strings.Contains(string(help), "csi-9p "+args[0]) {
		t.Errorf("%s: there is no verb %s: %v", where, args[0], err)
		return
	}
	for _, arg := range args[1:] {
		flag, _, _ := strings.Cut(arg, "=")
		if strings.HasPrefix(flag, "--") && !strings.Contains(string(help), flag+" ") {
			t.Errorf("%s: csi-9p %s has no flag %s", where, args[0], flag)
		}
	}
}
