package fuse_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/csi-9p/csi-9p/test/lab"
)

// client is what a test has this binary do in a process of its own, given by the variable clientEnv.
const clientEnv = "FUSE_TEST_CLIENT"

func TestMain(m *testing.M) {
	if role := os.Getenv(clientEnv); role != "" {
		if err := runClient(role, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	if restore, err := lab.EnableIOURing(); err == nil {
		defer restore()
	}
	before := fdCount()
	if code = m.Run(); code == 0 {
		code = leaks(before)
	}
	return code
}

// leaks reports what the tests left behind.
func leaks(fdsBefore int) (code int) {
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if n := mountCount(); n > 0 {
		fmt.Fprintln(os.Stderr, n, "mounts left")
		code = 1
	}
	// The poller's own: an epoll and an eventfd.
	if n := fdCount(); n > fdsBefore+2 {
		fmt.Fprintln(os.Stderr, n-fdsBefore, "descriptors left")
		code = 1
	}
	return code
}
