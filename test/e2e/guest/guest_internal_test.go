package guest

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/test/e2e/guest/order"
	"github.com/csi-9p/csi-9p/test/e2e/guest/qemu"
)

func TestVerdict(t *testing.T) {
	for name, tc := range map[string]struct {
		outcome order.Outcome
		want    string // part of the error; "": none
	}{
		"passed":         {order.Outcome{Output: "--- PASS: TestX\nPASS\n"}, ""},
		"failed":         {order.Outcome{Error: "exit status 1"}, "exit status 1"},
		"skipped a test": {order.Outcome{Output: "--- SKIP: TestX (0.00s)\nPASS\n"}, "skipped"},
		"tests gone":     {order.Outcome{Output: "testing: warning: no tests to run\nPASS\n"}, "no such tests"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := verdict(tc.outcome); (err != nil) != (tc.want != "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

func TestQuestionsStayInTheShare(t *testing.T) {
	dir := t.TempDir()
	share := filepath.Join(dir, "share")
	if err := errors.Join(os.Mkdir(share, 0o755), os.WriteFile(filepath.Join(dir, "secret"), nil, 0o644),
		os.WriteFile(filepath.Join(share, "a"), []byte("abc"), 0o644), os.Symlink("../secret", filepath.Join(share, "way-out"))); err != nil {
		t.Fatal(err)
	}
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180-2, appendix B.1
	if a, err := look(share, order.Question{Digest: "a"}); err != nil || a.Digest != abc {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := look(share, order.Question{List: "."}); err != nil || len(a.Names) != 2 {
		t.Errorf("%+v, %v", a, err)
	}
	for _, path := range []string{"../secret", "way-out", "/etc/passwd"} {
		if a, err := look(share, order.Question{Digest: path}); err == nil {
			t.Errorf("%s: %+v", path, a)
		}
	}
}

func TestStepsFitTheirGuests(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range steps {
		if seen[s.name] {
			t.Errorf("two steps are named %s", s.name)
		}
		seen[s.name] = true
		for _, iommu := range []bool{true, false} {
			o := s.order(site{guestKind: guestKind{iommu: iommu}, exporter: "tcp://10.0.2.2:1"})
			if len(o.Args) == 0 || o.Timeout <= 0 || s.about == "" {
				t.Errorf("%s: %+v", s.name, o)
			}
			if unsafe := strings.Contains(strings.Join(o.Args, " "), "--allow-unsafe-dma"); unsafe && iommu {
				t.Errorf("%s: unsafe DMA is allowed behind an IOMMU", s.name)
			}
		}
	}
}

func TestPageIsFilledInItsPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	page := "a\n<!-- bench: x / y -->\nold\n<!-- end -->\n<!-- guest -->\nold\n<!-- end -->\nz\n"
	if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // what was filled can be filled again
		if err := fillPage(path, "new\n"); err != nil {
			t.Fatal(err)
		}
	}
	want := "a\n<!-- bench: x / y -->\nold\n<!-- end -->\n<!-- guest -->\n\nnew\n\n<!-- end -->\nz\n"
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("nothing"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := fillPage(path, "new"); !errors.Is(err, errNoPlace) {
		t.Errorf("%v, want %v", err, errNoPlace)
	}
}

func TestDeadlineEndsQEMU(t *testing.T) {
	if _, err := os.Stat("/usr/bin/qemu-system-x86_64"); err != nil {
		t.Skip("QEMU is not installed: make guest installs it")
	}
	dir := t.TempDir()
	firmware := qemu.Config{Accelerator: qemu.TCG, Share: dir, Console: filepath.Join(dir, "console"), Output: filepath.Join(dir, "output")}
	if m, err := boot(t.Context(), firmware, time.Second); m != nil || !errors.Is(err, errSilent) {
		t.Errorf("got %v and %v, want %v", m, err, errSilent)
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range commands {
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), dir) {
			t.Errorf("it runs on: %s", strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
}

func TestOutcomesAreLines(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	port := order.NewPort(ours)
	go func() {
		_ = order.NewPort(theirs).Send(order.Outcome{Step: "one", Output: "a\nb"})
		theirs.Close()
	}()
	var o order.Outcome
	if err := port.Receive(&o); err != nil || o.Step != "one" || o.Output != "a\nb" {
		t.Errorf("%+v, %v", o, err)
	}
	if err := port.Receive(&o); err == nil {
		t.Error("the end of the connection is taken for an outcome")
	}
}
