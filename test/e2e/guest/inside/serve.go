package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/e2e/guest/order"
)

// serve prepares the guest, says hello and runs what it is ordered to, until the lab has no more orders.
func serve() error {
	problem := prepare()
	port, f, err := openPort(order.Orders)
	if err != nil {
		return errors.Join(problem, err)
	}
	defer f.Close()
	live, err := openFile(order.Output)
	if err != nil {
		return errors.Join(problem, err)
	}
	defer live.Close()
	if err := port.Send(hello(problem)); err != nil {
		return err
	}
	for {
		var step order.Step
		err := port.Receive(&step)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if step.Name == "" {
			return nil
		}
		fmt.Printf("inside: step %s\n", step.Name)
		if err := port.Send(run(step, live)); err != nil {
			return err
		}
	}
}

func hello(problem error) order.Hello {
	var h order.Hello
	if problem != nil {
		h.Error = problem.Error()
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		h.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	groups, _ := filepath.Glob("/sys/kernel/iommu_groups/*")
	h.IOMMU = len(groups) > 0
	return h
}

// run runs a step's program and whatever that starts, and says how it ended. What it prints goes to live meanwhile.
func run(step order.Step, live io.Writer) order.Outcome {
	outcome := order.Outcome{Step: step.Name}
	before := mounts()
	started := time.Now()
	output, err := execute(step, live)
	outcome.Took = time.Since(started)
	outcome.Output = output
	if left := leftover(before); len(left) > 0 {
		err = errors.Join(err, fmt.Errorf("mounts are left: %s", strings.Join(left, " ")))
	}
	results, resultsErr := collect(order.ResultsDir)
	outcome.Results = results
	if err = errors.Join(err, resultsErr); err != nil {
		outcome.Error = err.Error()
	}
	return outcome
}

// execute runs the program in a process group of its own, all of which it ends.
func execute(step order.Step, live io.Writer) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), step.Timeout)
	defer cancel()
	if err := os.MkdirAll(order.ResultsDir, 0o755); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, step.Args[0], step.Args[1:]...)
	cmd.Env = append(os.Environ(), step.Env...)
	var output tail
	cmd.Stdout = io.MultiWriter(&output, live)
	cmd.Stderr = cmd.Stdout
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	group := func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.Cancel = func() error {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGQUIT) // a Go program says where it was
		time.Sleep(2 * time.Second)
		return group()
	}
	cmd.WaitDelay = 5 * time.Second // what it has started may hold its output
	err := cmd.Run()
	if cmd.Process != nil {
		_ = group()
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("it did not end within %s", step.Timeout)
	}
	return output.String(), err
}

// collect takes the files that a step left.
func collect(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	results := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		results[e.Name()] = string(b)
	}
	return results, os.RemoveAll(dir)
}

// mounts are the directories that something is mounted on.
func mounts() map[string]bool {
	dirs := map[string]bool{}
	b, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); len(fields) > 1 {
			dirs[fields[1]] = true
		}
	}
	return dirs
}

// leftover detaches what has been mounted since before, and returns where.
func leftover(before map[string]bool) []string {
	var left []string
	for dir := range mounts() {
		if !before[dir] {
			left = append(left, dir)
			_ = unix.Unmount(dir, unix.MNT_DETACH)
		}
	}
	return left
}

// tail keeps the end of what is written to it.
type tail struct{ b bytes.Buffer }

// most is how much of a program's output is kept.
const most = 256 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.b.Write(p)
	if t.b.Len() > 2*most {
		t.b.Next(t.b.Len() - most)
	}
	return len(p), nil
}

func (t *tail) String() string { return strings.ToValidUTF8(t.b.String(), "?") }
