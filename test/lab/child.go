package lab

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// childEnv names the work that a process made by Child does instead of tests.
const childEnv = "CSI9P_LAB_CHILD"

// Work is what a child process does, given its arguments. Its error is printed
// and becomes exit status 1.
type Work func(args []string) error

// Child starts this test binary again to do the work of that name, which the
// package gave to [Main]: whatever maps a file of a mount, or may block on
// one, does so where only it can hang.
func Child(tb testing.TB, name string, args ...string) *Process {
	tb.Helper()
	return Start(tb, ChildCommand(tb, name, args...))
}

// ChildCommand is the command of [Child], for a caller that changes it first.
func ChildCommand(tb testing.TB, name string, args ...string) *exec.Cmd {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	return cmd
}

// runChild does one work and returns the exit status.
func runChild(children map[string]Work, name string) int {
	work, ok := children[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "no such work: %q\n", name)
		return 2
	}
	if err := work(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}
