// Package rig keeps the processes that a bench measures: exporters, mounts and the peer that copies bytes. Each is a
// process of its own, as in real use: this program again with another command.
package rig

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/csi-9p/csi-9p/node/mountpoint"
	"github.com/csi-9p/csi-9p/node/selfmount"
)

// patience is how long a process may take to end when it is asked to.
const patience = 10 * time.Second

// Rig starts processes and ends them again. It is not safe for concurrent use.
type Rig struct {
	// Program is the path of csi-9p.
	program string
	// dir holds sockets and mount points.
	dir   string
	count int
	ends  []func() error
	pids  []int
}

// New returns a rig that runs the program csi-9p at that path. Close ends it.
func New(program string) (*Rig, error) {
	dir, err := os.MkdirTemp("", "csi-9p-bench-")
	if err != nil {
		return nil, err
	}
	return &Rig{program: program, dir: dir}, nil
}

// Close ends what was started, the latest first, and removes what was made.
func (r *Rig) Close() error {
	var errs []error
	for i := len(r.ends) - 1; i >= 0; i-- {
		errs = append(errs, r.ends[i]())
	}
	r.ends = nil
	return errors.Join(append(errs, os.RemoveAll(r.dir))...)
}

// Path returns a path below the rig's directory that nobody has had before.
func (r *Rig) Path(kind string) string {
	r.count++
	return filepath.Join(r.dir, kind+strconv.Itoa(r.count))
}

// Listener says where a server is to listen: transport is unix, or tcp at a port of the kernel's choice.
func (r *Rig) Listener(transport string) (string, error) {
	switch transport {
	case "unix":
		return "unix://" + r.Path("socket"), nil
	case "tcp":
		return "tcp://127.0.0.1:0", nil
	}
	return "", fmt.Errorf("%q is none of unix, tcp", transport)
}

// Serve starts a server by a command of the program whose arguments end with --listen URL. It returns the URL where the server
// listens, which is the last word of the first line that it prints.
func (r *Rig) Serve(ctx context.Context, transport string, command ...string) (string, error) {
	listen, err := r.Listener(transport)
	if err != nil {
		return "", err
	}
	cmd := r.command(append(command, "--listen", listen)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	r.pids = append(r.pids, cmd.Process.Pid)
	r.ends = append(r.ends, func() error { return end(cmd) })
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("csi-9p %s ended before it listened: %w", strings.Join(command, " "), errors.Join(err, context.Cause(ctx)))
	}
	words := strings.Fields(line)
	return words[len(words)-1], nil
}

// Mount mounts a share with the options of csi-9p mount -o and further flags of that command, and returns where. What ends it
// may be called before Close.
func (r *Rig) Mount(ctx context.Context, url string, options []string, flags ...string) (dir string, unmount func() error, err error) {
	dir = r.Path("mount")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", nil, err
	}
	args := append([]string{"mount", "--report=true"}, flags...)
	if len(options) > 0 {
		args = append(args, "-o", strings.Join(options, ","))
	}
	cmd := r.command(append(args, url, dir)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := selfmount.Start(ctx, cmd); err != nil {
		if line, _, _ := strings.Cut(said.String(), "\n"); line != "" {
			err = errors.New(strings.TrimPrefix(line, "csi-9p: "))
		}
		return "", nil, errors.Join(fmt.Errorf("cannot mount the share: %w", err), os.Remove(dir))
	}
	r.pids = append(r.pids, cmd.Process.Pid)
	ended := false
	unmount = func() error {
		if ended {
			return nil
		}
		ended = true
		return errors.Join(end(cmd), mountpoint.Mounter{}.Unmount(dir), os.Remove(dir))
	}
	r.ends = append(r.ends, unmount)
	return dir, unmount, nil
}

// command is a run of the program that a Ctrl-C at the terminal does not reach, and that does not outlive this process.
func (r *Rig) command(args ...string) *exec.Cmd {
	cmd := exec.Command(r.program, args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	return cmd
}

// end asks a process to end, and makes it if it does not.
func end(cmd *exec.Cmd) error {
	_ = cmd.Process.Signal(syscall.SIGTERM) // one that has ended is waited for all the same
	kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	return cmd.Wait()
}
