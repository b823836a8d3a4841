package memory_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/bench/memory"
	"github.com/csi-9p/csi-9p/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m, nil) }

// TestMemory is a tenth of what the bench does, in a process of its own.
func TestMemory(t *testing.T) {
	lab.NeedRoot(t)
	root := lab.Dir(t)
	out := lab.Run(t, 2*time.Minute, exec.Command(lab.Binary(t), "bench", "memory", "--json",
		"--volumes=100", "--opens=1000", "--mounts=100", root))
	var r memory.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(r.States) != 8 || len(r.Limits) != 4 {
		t.Fatalf("%d states, %d limits", len(r.States), len(r.Limits))
	}
	for _, l := range r.Limits {
		if !l.Met {
			t.Errorf("%s: %d bytes, at most %d are wanted", l.Name, l.Measured, l.Most)
		}
	}
	first, used, last := r.States[0], r.States[2], r.States[7]
	if used.Volumes != 101 || used.Resident <= first.Resident || used.Files < first.Files+100 {
		t.Errorf("with volumes %+v, without %+v", used, first)
	}
	if last.Volumes != 1 || last.Goroutines > first.Goroutines || last.Files > first.Files {
		t.Errorf("after the last volume %+v, before the first %+v", last, first)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
		t.Errorf("left on the share: %v %v", left, err)
	}
}

func TestWrongCommandLines(t *testing.T) {
	dir := lab.Dir(t)
	for says, args := range map[string][]string{
		"DIR|URL is missing":    {},
		"at least one volume":   {"--volumes=0", dir},
		"none of unix, tcp":     {"--transport=pigeon", dir},
		"no such file":          {dir + "/none"},
		"volume specification:": {"ftp://host"},
	} {
		out, err := exec.Command(lab.Binary(t), append([]string{"bench", "memory"}, args...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), says) {
			t.Errorf("%q: %v, %s; want ...%s...", args, err, out, says)
		}
	}
}
