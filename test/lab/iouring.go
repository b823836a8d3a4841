package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/fuse"
)

// enableURing is the switch of FUSE over io_uring. It is the whole machine's.
const enableURing = "/sys/module/fuse/parameters/enable_uring"

// IOURingEnv chooses, when it is "require", that FUSE requests come by io_uring
// on all mounts of a run. The suites that mount run once with it and once without.
const IOURingEnv = "CSI9P_TEST_IO_URING"

// IOURing is what [IOURingEnv] says.
func IOURing(tb testing.TB) fuse.IOURing {
	tb.Helper()
	var on fuse.IOURing
	if value := os.Getenv(IOURingEnv); value != "" {
		if err := on.Set(value); err != nil {
			tb.Fatalf("%s: %v", IOURingEnv, err)
		}
		NeedIOURing(tb)
	}
	return on
}

// EnableIOURing switches FUSE over io_uring on, where the kernel has it, until
// restore. Of several test binaries that do so at the same time, the last one
// restores what the first one found.
func EnableIOURing() (restore func(), err error) {
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "csi-9p-test-enable-uring"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	fd := int(lock.Fd())
	before, err := os.ReadFile(enableURing)
	if err == nil && unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil {
		err = errors.Join(lock.Truncate(0), func() error { _, err := lock.WriteAt(before, 0); return err }())
	}
	if err == nil {
		err = unix.Flock(fd, unix.LOCK_SH)
	}
	if err == nil && strings.TrimSpace(string(before)) != "Y" {
		err = os.WriteFile(enableURing, []byte("Y"), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("switch FUSE over io_uring on: %w", err), lock.Close())
	}
	return func() {
		defer lock.Close()
		if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) != nil {
			return // somebody else still wants it
		}
		if found, err := io.ReadAll(io.NewSectionReader(lock, 0, 8)); err == nil {
			_ = os.WriteFile(enableURing, found, 0)
		}
	}, nil
}

// Loops runs a test on each way that requests come from the kernel. Without
// io_uring that half is skipped.
func Loops(t *testing.T, test func(t *testing.T, on fuse.IOURing)) {
	t.Helper()
	t.Run("device", func(t *testing.T) { test(t, fuse.IOURingOff) })
	t.Run("io_uring", func(t *testing.T) {
		NeedIOURing(t)
		test(t, fuse.IOURingRequire)
	})
}

// NeedIOURing skips a test where requests cannot come by io_uring.
func NeedIOURing(tb testing.TB) {
	tb.Helper()
	if err := fuse.CheckIOURing(); err != nil {
		tb.Skip(err)
	}
}
