package lab

import (
	"errors"
	"fmt"
	"os"
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
// switches it off: whoever has use of a switch that a test turned holds a lock
// of it (flock(2)).
func EnableIOURing() (restore func(), err error) {
	switched, err := os.OpenFile(enableURing, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("switch FUSE over io_uring on: %w", err)
	}
	fd := int(switched.Fd())
	if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil && isOn(switched) {
		return func() {}, switched.Close() // it was on before any test
	}
	err = unix.Flock(fd, unix.LOCK_SH)
	if err == nil && !isOn(switched) {
		_, err = switched.WriteAt([]byte("Y"), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("switch FUSE over io_uring on: %w", err), switched.Close())
	}
	return func() {
		defer switched.Close()
		if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil { // else somebody still wants it
			_, _ = switched.WriteAt([]byte("N"), 0)
		}
	}, nil
}

// isOn reports whether a switch of the kernel's is on.
func isOn(file *os.File) bool {
	var value [1]byte
	_, err := file.ReadAt(value[:], 0)
	return err == nil && value[0] == 'Y'
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
