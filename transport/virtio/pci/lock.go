package pci

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// origin is what a function was bound to before it was taken over.
type origin struct {
	Driver   string `json:"driver"`   // "": none
	Override string `json:"override"` // "": none
}

// record is what an owner leaves in its lock file, so that the next one can give
// the device back where it did not get to it.
type record struct {
	PID    int    `json:"pid"`
	Origin origin `json:"origin"`
}

// lock is the ownership of a function among the processes that use one
// directory: an open file description lock (fcntl(2)) on a file in it, which ends
// with the process and can be looked at without being taken.
type lock struct{ file *os.File }

// lockAdvice says what to do where there can be no lock.
const lockAdvice = "a container mounts that directory from the node, for all who drive its devices"

func lockPath(dir, address string) string { return filepath.Join(dir, "virtio-"+address+".lock") }

// lockFunction takes the ownership. It fails with an error that wraps ErrInUse
// where another process has it.
func lockFunction(dir, address string) (*lock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("the device's lock: %w: %s", err, lockAdvice)
	}
	f, err := os.OpenFile(lockPath(dir, address), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the device's lock: %w: %s", err, lockAdvice)
	}
	l := &lock{file: f}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return nil, l.owned()
		}
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return l, nil
}

// lockedBy returns an error that wraps ErrInUse where a process has the
// ownership.
func lockedBy(dir, address string) error {
	f, err := os.Open(lockPath(dir, address))
	if err != nil {
		return nil // never locked, or not for this user to know
	}
	defer f.Close()
	held := unix.Flock_t{Type: unix.F_RDLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &held); err == nil && held.Type != unix.F_UNLCK {
		return (&lock{file: f}).owned()
	}
	return nil
}

// owned is the error of a function that another process has.
func (l *lock) owned() error {
	r, err := l.read()
	if err != nil || r == nil {
		return fmt.Errorf("%w: another csi-9p process drives it: a device has one owner; stop that process, or use its mounts", ErrInUse)
	}
	return fmt.Errorf("%w: the csi-9p process %d drives it: a device has one owner; stop that process, or use its mounts", ErrInUse, r.PID)
}

// read returns what the last owner left; nil for one that gave the device back.
func (l *lock) read() (*record, error) {
	b, err := io.ReadAll(io.NewSectionReader(l.file, 0, 4096))
	if err != nil || len(b) == 0 {
		return nil, err
	}
	r := &record{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", l.file.Name(), err)
	}
	return r, nil
}

// write notes what the function was bound to.
func (l *lock) write(o origin) error {
	b, err := json.Marshal(record{PID: os.Getpid(), Origin: o})
	if err != nil {
		return err
	}
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err = l.file.WriteAt(b, 0)
	return err
}

// forget drops the note: the device has been given back.
func (l *lock) forget() error { return l.file.Truncate(0) }

// close ends the ownership. The file stays: another process may be about to
// lock it.
func (l *lock) close() error { return l.file.Close() }
