package selfmount_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"github.com/csi-9p/csi-9p/node/selfmount"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"go.uber.org/goleak"
)

// child is the first argument of a process that Background starts in a test.
const child = "mount-in-background"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == child { // never the tests again
		if len(os.Args) != 4 || runChild(os.Args[2], os.Args[3]) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// runChild mounts as csi-9p mount does behind the scenes.
func runChild(url, dir string) error {
	reporter, err := selfmount.NewReporter()
	if err != nil {
		return err
	}
	m, err := selfmount.Parse(url, dir, nil, mtls.Files{})
	if err == nil {
		err = m.Run(context.Background(), reporter.Ready)
	}
	if err != nil {
		reporter.Failed(err)
	}
	return err
}

// reap waits for the end of this process's only child.
func reap(t *testing.T) syscall.WaitStatus {
	t.Helper()
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(-1, &status, 0, nil)
		if !errors.Is(err, syscall.EINTR) {
			if err != nil {
				t.Fatal(err)
			}
			return status
		}
	}
}

func TestBackgroundUntilUmount(t *testing.T) {
	nodetest.NoLeaks(t)
	e, dir := nodetest.Export(t), nodetest.Dir(t)
	if err := selfmount.Background(t.Context(), []string{child, e.URL, dir}, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o600); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(e.Root, "f")); err != nil {
		t.Error(err)
	}
	if err := (mountpoint.Mounter{}).Unmount(dir); err != nil {
		t.Error(err)
	}
	if status := reap(t); status.ExitStatus() != 0 {
		t.Errorf("exit status %d after umount", status.ExitStatus())
	}
}

func TestBackgroundReportsWhatFailed(t *testing.T) {
	nodetest.NoLeaks(t)
	e, dir := nodetest.Export(t), nodetest.Dir(t)
	for url, says := range map[string]string{
		e.URL + "?aname=/none":    "check aname",
		"unix://" + dir + "/none": "check that it runs",
		"tcp://127.0.0.1:1":       "check that it runs",
	} {
		err := selfmount.Background(t.Context(), []string{child, url, dir}, nil)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want ...%s...", url, err, says)
		}
	}
	err := selfmount.Background(t.Context(), []string{child}, nil)
	if err == nil || !strings.Contains(err.Error(), "without a word") {
		t.Errorf("a process that never reports: %v", err)
	}
	if left := nodetest.Mounts(t, dir); len(left) > 0 {
		t.Errorf("mounts left: %q", left)
	}
}

// run mounts in this process. What it returns waits for the end.
func run(ctx context.Context, t *testing.T, e *nodetest.Exporter, dir string, options ...string) (wait func() error) {
	t.Helper()
	m, err := selfmount.Parse(e.URL, dir, options, mtls.Files{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- m.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	return func() error {
		select {
		case err := <-ended:
			return err
		case <-time.After(30 * time.Second):
			t.Fatal("the mount does not end")
			return nil
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	nodetest.NoLeaks(t)
	e, dir := nodetest.Export(t), nodetest.Dir(t)
	ctx, cancel := context.WithCancel(t.Context())
	wait := run(ctx, t, e, dir, "ro")
	if err := nodetest.WriteFile(filepath.Join(dir, "f"), "x"); !errors.Is(err, syscall.EROFS) {
		t.Errorf("writing with -o ro: %v", err)
	}
	cancel()
	if err := wait(); err != nil {
		t.Error(err)
	}
	if left := nodetest.Mounts(t, dir); len(left) > 0 {
		t.Errorf("mounts left: %q", left)
	}
}

func TestRunEndsWithItsContextThoughTheServerIsLost(t *testing.T) {
	nodetest.NoLeaks(t)
	e, dir := nodetest.Export(t), nodetest.Dir(t)
	ctx, cancel := context.WithCancel(t.Context())
	wait := run(ctx, t, e, dir)
	e.Kill()
	cancel()
	if err := wait(); err != nil {
		t.Error(err)
	}
	if left := nodetest.Mounts(t, dir); len(left) > 0 {
		t.Errorf("mounts left: %q", left)
	}
}

func TestCheck(t *testing.T) {
	dir := nodetest.Dir(t)
	for _, err := range []error{
		os.WriteFile(dir+"/file", nil, 0o600),
		os.Mkdir(dir+"/taken", 0o755),
		os.Mkdir(dir+"/free", 0o755),
		os.Symlink("free", dir+"/link"),
		os.Symlink("taken", dir+"/link-to-taken"),
		os.Symlink("none", dir+"/dangling"),
		(mountpoint.Mounter{}).Mount(dir, dir+"/taken", "", []string{"bind"}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, says := range map[string]string{
		"free": "", "link": "", "free/": "",
		"none":          "make the directory",
		"none/at/all":   "no such file",
		"file":          "not a directory",
		"taken":         "umount it",
		"link-to-taken": "umount it",
		"dangling":      "no such file",
	} {
		m, err := selfmount.Parse("tcp://127.0.0.1", fmt.Sprintf("%s/%s", dir, name), nil, mtls.Files{})
		if err != nil {
			t.Fatal(err)
		}
		err = m.Check()
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want ...%s...", name, err, says)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, test := range []struct {
		url     string
		options []string
	}{
		{"10.0.0.1", nil},
		{"tcp://10.0.0.1/a", []string{"aname=/b"}},
		{"tcp://10.0.0.1", []string{"colour=red"}},
		{"tcp://10.0.0.1", []string{"colour"}},
		{"tcp://10.0.0.1", []string{"msize=big"}},
		{"tcp://10.0.0.1", []string{"share=tank"}},
		{"tcp://10.0.0.1", []string{"subDir=a/.."}},
	} {
		if _, err := selfmount.Parse(test.url, "/mnt", test.options, mtls.Files{}); !errors.Is(err, params.ErrInvalid) {
			t.Errorf("%s %q: %v, want ErrInvalid", test.url, test.options, err)
		}
	}
}
