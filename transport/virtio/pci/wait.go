package pci

import (
	"errors"
	"os"
	"sync/atomic"
	"time"
)

// waiter waits for a file of interrupts to become readable, on Go's poller, so
// that no thread is held; wake ends a wait as well.
type waiter struct {
	file  *os.File
	woken atomic.Bool
}

// past is a deadline that ends a read at once.
var past = time.Unix(1, 0)

// wake has the wait under way, or the next one, return.
func (w *waiter) wake() {
	w.woken.Store(true)
	// It fails only for a file that was closed, and then nobody waits.
	_ = w.file.SetReadDeadline(past)
}

// wait reads len(p) bytes once they come. It returns false if it was woken
// instead, and then nothing was read.
func (w *waiter) wait(p []byte) (bool, error) {
	for {
		if w.woken.Swap(false) {
			return false, nil
		}
		_, err := w.file.Read(p)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err == nil, err
		}
		// The deadline is lifted before woken is looked at again: a wake that
		// comes in between sets both, and is seen either there or by the read.
		if err := w.file.SetReadDeadline(time.Time{}); err != nil {
			return false, err
		}
	}
}
