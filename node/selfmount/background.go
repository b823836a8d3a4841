package selfmount

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// ReadyFD is the descriptor on which a process started by Start or Background reports.
const ReadyFD = 3

// readyMark is the report of success; everything else is an error's text.
const readyMark = "ready\n"

// Background runs this program again with args, detached from the terminal and
// the session, and returns when the new process has reported: nil once its
// mount is usable, or what it failed with. Its output goes to log; nil: nowhere.
func Background(ctx context.Context, args []string, log *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	if log == nil {
		log = null
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = null, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := Start(ctx, cmd); err != nil {
		return err
	}
	return cmd.Process.Release()
}

// Start starts a command that has a Reporter, and returns when it has reported:
// nil once its mount is usable, and then the process is the caller's; or what it
// failed with, and then it has ended.
func Start(ctx context.Context, cmd *exec.Cmd) error {
	report, reporter, err := os.Pipe()
	if err != nil {
		return err
	}
	defer report.Close()
	cmd.ExtraFiles = []*os.File{reporter}
	err = cmd.Start()
	_ = reporter.Close()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	said, err := io.ReadAll(report)
	if err == nil && string(said) == readyMark {
		return nil
	}
	waitErr := cmd.Wait()
	if len(said) > 0 {
		return errors.New(string(bytes.TrimSpace(said)))
	}
	return errors.Join(fmt.Errorf("the mounting process ended without a word: %w", errors.Join(waitErr, ctx.Err())), err)
}

// Reporter tells the process that called Start or Background how it went.
type Reporter struct{ pipe *os.File }

// NewReporter returns the reporter of a process that Start or Background started. It
// leaves the directory that the process was started in, so as not to hold it.
func NewReporter() (*Reporter, error) {
	syscall.CloseOnExec(ReadyFD)
	return &Reporter{os.NewFile(ReadyFD, "report")}, os.Chdir("/")
}

// Ready reports that the mount is usable.
func (r *Reporter) Ready() { r.send(readyMark) }

// Failed reports an error, unless Ready was reported before.
func (r *Reporter) Failed(err error) { r.send(err.Error()) }

func (r *Reporter) send(text string) {
	if r.pipe == nil {
		return
	}
	_, _ = r.pipe.WriteString(text) // a parent that is gone needs no report
	_ = r.pipe.Close()
	r.pipe = nil
}
