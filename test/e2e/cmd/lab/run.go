package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/e2e/cluster"
	"github.com/csi-9p/csi-9p/test/e2e/residue"
)

// run is what a lab has on the machine that the kernel does not remove by itself. Its names have the id of the lab's
// process.
type run struct{ residue.Run }

// newRun makes the directory of a run, having removed those of labs that were killed.
func newRun(cache string) (*run, error) {
	runs := filepath.Join(cache, "runs")
	if err := os.MkdirAll(runs, 0o755); err != nil {
		return nil, err
	}
	if err := sweep(runs); err != nil {
		return nil, err
	}
	r := runOf(runs, os.Getpid())
	return r, os.Mkdir(r.Dir, 0o755)
}

func runOf(runs string, pid int) *run {
	number := strconv.Itoa(pid)
	return &run{residue.Run{Dir: filepath.Join(runs, number), Cgroup: "csi-9p-lab-" + number}}
}

// sweep removes what labs that were killed have left.
func sweep(runs string) error {
	entries, err := os.ReadDir(runs)
	if err != nil {
		return err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || alive(pid) {
			continue
		}
		err = runOf(runs, pid).remove()
		if err != nil {
			return fmt.Errorf("removing what a lab has left: %w", err)
		}
	}
	return nil
}

// alive reports whether there is a process of that id.
func alive(pid int) bool { return !errors.Is(unix.Kill(pid, 0), unix.ESRCH) }

// remove removes the cgroup and the directory.
func (r *run) remove() error {
	const patience = 10 * time.Second // the last processes of a pid namespace are on their way out
	deadline := time.Now().Add(patience)
	cgroup := cluster.Cgroup("/" + r.Cgroup)
	err := cgroup.Remove()
	for err != nil && time.Now().Before(deadline) {
		time.Sleep(100 * time.Millisecond)
		err = cgroup.Remove()
	}
	return errors.Join(err, os.RemoveAll(r.Dir))
}
