package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// driver is csi-9p.
const driver = "/bin/csi-9p"

// process is csi-9p, running.
type process struct {
	*exec.Cmd
	log  string
	done chan struct{} // closed when it has ended, with err set
	err  error
}

// start runs csi-9p with a log in dir.
func start(dir string, args ...string) (*process, error) {
	log, err := os.CreateTemp(dir, args[0]+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{Cmd: exec.Command(driver, args...), log: log.Name(), done: make(chan struct{})}
	p.Stdout, p.Stderr = log, log
	if err := p.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.Wait()
		close(p.done)
	}()
	return p, nil
}

// startMount mounts a URL and returns when the mount is there.
func startMount(ctx context.Context, dir, url, target, options string, flags ...string) (*process, error) {
	args := append([]string{"mount", "--foreground", "-o", options}, flags...)
	p, err := start(dir, append(args, url, target)...)
	if err != nil {
		return nil, err
	}
	err = p.await(ctx, func() error {
		if !mounts()[target] {
			return errors.New("nothing is mounted")
		}
		return nil
	})
	return p, err
}

// await waits until something holds.
func (p *process) await(ctx context.Context, holds func() error) error {
	for {
		err := holds()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return p.explain(errors.Join(errors.New("it ended"), p.err))
		case <-ctx.Done():
			return p.explain(errors.Join(ctx.Err(), err))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// hasLogged is for await: it holds once the process has logged that.
func (p *process) hasLogged(text string) func() error {
	return func() error {
		log, err := os.ReadFile(p.log)
		if err == nil && !bytes.Contains(log, []byte(text)) {
			err = fmt.Errorf("it has not logged %q", text)
		}
		return err
	}
}

// end asks the process to end, and waits for that.
func (p *process) end() error {
	if err := p.Process.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.wait()
}

// kill ends the process without asking it, and waits for that.
func (p *process) kill() error {
	if err := p.Process.Kill(); err != nil {
		return err
	}
	<-p.done
	return nil
}

// wait waits until the process has ended by itself.
func (p *process) wait() error {
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.Process.Signal(unix.SIGQUIT) // it says where it is
		time.Sleep(time.Second)
		return p.explain(errors.Join(errors.New("it does not end"), p.kill()))
	}
	if p.err != nil {
		return p.explain(p.err)
	}
	return nil
}

// explain adds the process's log to an error.
func (p *process) explain(err error) error {
	log, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s: %w\n%s", filepath.Base(p.Path)+" "+p.Args[1], err, log)
}
