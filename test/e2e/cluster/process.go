package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/e2e/nsenter"
)

// stopTimeout is how long a process may take to end at SIGTERM before it is killed.
const stopTimeout = 20 * time.Second

// Process is a daemon of the lab: it can be stopped, killed and started again, and appends to one log. Its methods may
// be called from several goroutines.
type Process struct {
	Name string
	Log  string // path of the file that has its output

	target *nsenter.Target // namespaces that it runs in; nil: those of the caller
	path   string
	args   []string // argv

	mu      sync.Mutex
	cmd     *exec.Cmd // nil before the first start
	exited  chan struct{}
	outcome error // of cmd, once exited is closed
}

// Start starts the process, which must not be running.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return fmt.Errorf("%s is running already", p.Name)
	}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := &exec.Cmd{Path: p.path, Args: p.args, Stdout: log, Stderr: log}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // SIGINT on a terminal is for the lab, which then stops things in order
	if p.target != nil {
		err = p.target.Start(cmd)
	} else {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("starting %s: %w", p.Name, err)
	}
	p.cmd, p.exited = cmd, make(chan struct{})
	go func(exited chan struct{}) {
		err := cmd.Wait()
		p.mu.Lock()
		p.outcome = err
		p.mu.Unlock()
		close(exited)
	}(p.exited)
	return nil
}

// Stop ends the process with SIGTERM, or with SIGKILL if it takes too long, and waits until it is gone.
func (p *Process) Stop() error { return p.end(unix.SIGTERM) }

// Kill ends the process with SIGKILL and waits until it is gone.
func (p *Process) Kill() error { return p.end(unix.SIGKILL) }

// Restart stops the process and starts it again.
func (p *Process) Restart() error { return errors.Join(p.Stop(), p.Start()) }

func (p *Process) end(s unix.Signal) error {
	p.mu.Lock()
	cmd, exited := p.cmd, p.exited
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	select {
	case <-exited:
		return nil
	case <-time.After(stopTimeout):
	}
	err := cmd.Process.Kill()
	<-exited
	return errors.Join(err, fmt.Errorf("%s did not end within %s of %s: killed", p.Name, stopTimeout, unix.SignalName(s)))
}

// Signal sends a signal to the process and does not wait.
func (p *Process) Signal(s unix.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return fmt.Errorf("%s is not running", p.Name)
	}
	return p.cmd.Process.Signal(s)
}

// Pid is the process's id as the lab sees it, 0 when it is not running.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return 0
	}
	return p.cmd.Process.Pid
}

// running is called with mu held.
func (p *Process) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Await waits until ready reports true. It fails when ctx ends, with the last reason why not, and at once when the
// process is not running.
func (p *Process) Await(ctx context.Context, ready func(context.Context) error) error {
	const interval = 50 * time.Millisecond
	for {
		reason := ready(ctx)
		if reason == nil {
			return nil
		}
		p.mu.Lock()
		running, outcome := p.running(), p.outcome
		p.mu.Unlock()
		if !running {
			return errors.Join(fmt.Errorf("%s ended: see %s", p.Name, p.Log), outcome)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; see %s", p.Name, reason, p.Log)
		case <-time.After(interval):
		}
	}
}
