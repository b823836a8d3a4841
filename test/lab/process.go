package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Process is a child that dies with the test, at the latest.
type Process struct {
	cmd    *exec.Cmd
	output output
	killed atomic.Bool // by the test
	dumped atomic.Bool // asked for its goroutines, which ended it
	ended  chan struct{}
	err    error // why it ended: set before ended is closed
}

// output keeps what a process says, for the report of a failed test.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Start runs a command until it ends by itself or the test ends. What it
// printed is shown if the test fails.
func Start(tb testing.TB, cmd *exec.Cmd) *Process {
	tb.Helper()
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	if cmd.Dir == "" {
		cmd.Dir = Dir(tb) // a core dump is not for the source tree
	}
	cmd.Env = append(cmd.Env, mark())
	if cmd.Stdout == nil {
		cmd.Stdout = &p.output
	}
	cmd.Stderr = &p.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		tb.Fatalf("start %s: %v", cmd, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	tb.Cleanup(func() {
		p.Kill(tb)
		p.sane(tb)
		if tb.Failed() {
			tb.Logf("%s said:\n%s", cmd, &p.output)
		}
	})
	return p
}

// sane fails the test if the process panicked, or raced where it was built to tell.
func (p *Process) sane(tb testing.TB) {
	tb.Helper()
	for _, sign := range []string{"\ngoroutine ", "WARNING: DATA RACE"} {
		if strings.Contains(p.Output(), sign) && !p.dumped.Load() {
			tb.Errorf("%s broke down", p.cmd)
		}
	}
}

// mark is the environment variable that tells this run's processes from others.
func mark() string { return markEnv + "=" + strconv.Itoa(os.Getpid()) }

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output is what the process has printed so far.
func (p *Process) Output() string { return p.output.String() }

// Ended is closed when the process is gone.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Signal sends a signal; that the process is gone already is no error.
func (p *Process) Signal(tb testing.TB, sig os.Signal) {
	tb.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		tb.Errorf("signal %s: %v", p.cmd, err)
	}
}

// Kill ends the process and everything in its group by SIGKILL and waits until
// it is gone.
func (p *Process) Kill(tb testing.TB) {
	tb.Helper()
	select {
	case <-p.ended:
		return
	default:
	}
	p.killed.Store(true)
	if err := syscall.Kill(-p.PID(), syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		tb.Errorf("kill %s: %v", p.cmd, err)
	}
	if err := p.Wait(hang); errors.Is(err, ErrStillRuns) {
		tb.Errorf("%s survives SIGKILL: it waits in the kernel", p.cmd)
	}
}

// dumpTime is what a process has for writing down what its goroutines do.
const dumpTime = 10 * time.Second

// Dump ends a process written in Go, which did not end in time, so that what it
// prints says what each of its goroutines was at.
func (p *Process) Dump(tb testing.TB) {
	tb.Helper()
	p.dumped.Store(true)
	p.Signal(tb, syscall.SIGQUIT)
	if err := p.Wait(dumpTime); errors.Is(err, ErrStillRuns) {
		tb.Errorf("%s does not answer SIGQUIT", p.cmd)
	}
}

// hang is after how long something counts as hung: far longer than it takes on a busy machine.
const hang = time.Minute

// ErrStillRuns is wrapped by [Process.Wait] when its time is up.
var ErrStillRuns = errors.New("still runs")

// Wait returns why the process ended, nil for exit status 0, or an error when
// it has not ended in time.
func (p *Process) Wait(limit time.Duration) error {
	select {
	case <-p.ended:
		return p.err
	case <-time.After(limit):
		return fmt.Errorf("%s: %w after %v", p.cmd, ErrStillRuns, limit)
	}
}

// Run runs a command to its end, which must be exit status 0 within limit, and
// returns its standard output.
func Run(tb testing.TB, limit time.Duration, cmd *exec.Cmd) string {
	tb.Helper()
	var stdout output
	cmd.Stdout = &stdout
	p := Start(tb, cmd)
	if err := p.Wait(limit); err != nil {
		p.Kill(tb)
		tb.Fatalf("%s: %v\n%s", cmd, err, &stdout)
	}
	return stdout.String()
}

// Shell runs a script by sh -e in a directory, as [Run] does.
func Shell(tb testing.TB, limit time.Duration, dir, script string, args ...string) string {
	tb.Helper()
	cmd := exec.Command("sh", append([]string{"-e", "-c", script, "sh"}, args...)...)
	cmd.Dir = dir
	return Run(tb, limit, cmd)
}

// Eventually asks until the answer is nil, and fails with the last one when it
// is not within limit.
func Eventually(tb testing.TB, limit time.Duration, ask func() error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.Fatalf("not within %v: %v", limit, err)
		}
	}
}
