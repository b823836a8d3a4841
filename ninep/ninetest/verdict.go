package ninetest

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// verdict is a testing.TB that keeps failures to itself, for a rule that is
// expected to fail.
type verdict struct {
	testing.TB // what is not below is the real test's

	mu       sync.Mutex
	failures []string
	cleanups []func()
}

// judge runs a rule and its cleanups to their ends and returns its failures.
func (v *verdict) judge(check func()) []string {
	await(check)
	for len(v.cleanups) > 0 {
		last := v.cleanups[len(v.cleanups)-1]
		v.cleanups = v.cleanups[:len(v.cleanups)-1]
		await(last)
	}
	return v.failures
}

// await runs f on a goroutine of its own, because Fatal ends the one it is on.
func await(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

func (v *verdict) note(message string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failures = append(v.failures, strings.TrimSpace(message))
}

func (v *verdict) Helper()                           {}
func (v *verdict) Cleanup(f func())                  { v.cleanups = append(v.cleanups, f) }
func (v *verdict) Error(args ...any)                 { v.note(fmt.Sprintln(args...)) }
func (v *verdict) Errorf(format string, args ...any) { v.note(fmt.Sprintf(format, args...)) }

func (v *verdict) Fatal(args ...any) {
	v.note(fmt.Sprintln(args...))
	runtime.Goexit()
}

func (v *verdict) Fatalf(format string, args ...any) {
	v.note(fmt.Sprintf(format, args...))
	runtime.Goexit()
}
