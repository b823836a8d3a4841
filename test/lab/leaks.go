package lab

import (
	"os"
	"path/filepath"
	"strings"

	"go.uber.org/goleak"
)

// leaks names the goroutines that still run, and the files that are open and
// were not before.
func leaks(before map[string]string, foreign []goleak.Option) []string {
	var left []string
	if err := goleak.Find(foreign...); err != nil {
		left = append(left, err.Error())
	}
	for fd, target := range openFiles() {
		if before[fd] != target {
			left = append(left, "open file "+target)
		}
	}
	return left
}

// openFiles is what this process's descriptors refer to, but for those that
// the Go runtime opens for itself.
func openFiles() map[string]string {
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		return nil
	}
	open := map[string]string{}
	for _, link := range links {
		target, err := os.Readlink(link)
		if err == nil && !strings.HasPrefix(target, "anon_inode:") && target != "/dev/null" {
			open[link] = target
		}
	}
	return open
}
