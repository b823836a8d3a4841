package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// errEnded stands for an early end with exit status 0.
var errEnded = errors.New("the process is gone")

// process is one of the driver's processes, started by the demo and ended by it.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended, with err set
	err  error
}

// start runs csi-9p with the arguments and waits until it accepts connections on the socket.
func (c *cluster) start(ctx context.Context, socket string, args ...string) (string, error) {
	p := &process{name: args[0], log: c.path(args[0] + ".log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return "", err
	}
	defer log.Close()
	p.cmd = exec.Command(c.binary, args...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return "", fmt.Errorf("%w: build it with 'make build'", err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	c.processes = append(c.processes, p)
	return fmt.Sprintf("pid %d on %s", p.cmd.Process.Pid, filepath.Base(socket)), p.awaitSocket(ctx, socket)
}

func (p *process) awaitSocket(ctx context.Context, socket string) error {
	for {
		if conn, err := net.Dial("unix", socket); err == nil {
			return conn.Close()
		}
		select {
		case <-p.done:
			return fmt.Errorf("it ended at once: %w", errors.Join(errEnded, p.err))
		case <-ctx.Done():
			return fmt.Errorf("it never listened on %s: %w", socket, ctx.Err())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// end asks the process to stop and insists after five seconds.
func (p *process) end() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		err := p.cmd.Process.Kill()
		<-p.done
		return errors.Join(fmt.Errorf("%s did not stop within 5 s of SIGTERM", p.name), err)
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
	return nil
}

// logTail returns the last lines that the process logged.
func (p *process) logTail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error() + "\n"
	}
	lines := bytes.SplitAfter(b, []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-15):], nil))
}

func (c *cluster) startExporter(ctx context.Context) (string, error) {
	if err := os.Mkdir(c.exportDir(), 0o755); err != nil {
		return "", err
	}
	return c.start(ctx, c.path("9p.sock"), "serve", "--listen", c.endpoint("9p.sock"), c.exportDir())
}

func (c *cluster) startController(ctx context.Context) (string, error) {
	told, err := c.start(ctx, c.path("controller.sock"), "controller", "--endpoint", c.endpoint("controller.sock"))
	if err != nil {
		return told, err
	}
	conn, err := c.connect("controller.sock")
	c.controller = csi.NewControllerClient(conn)
	return told, err
}

func (c *cluster) startMounter(ctx context.Context) (string, error) {
	return c.start(ctx, c.path("mounter.sock"), "mounter", "--listen", c.endpoint("mounter.sock"))
}

func (c *cluster) startNode(ctx context.Context) (string, error) {
	told, err := c.start(ctx, c.path("node.sock"), "node", "--endpoint", c.endpoint("node.sock"),
		"--nodeid", "demo", "--mounter", c.endpoint("mounter.sock"))
	if err != nil {
		return told, err
	}
	conn, err := c.connect("node.sock")
	c.node = csi.NewNodeClient(conn)
	return told, err
}

func (c *cluster) connect(socket string) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient(c.endpoint(socket), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err == nil {
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

// stop ends the processes, those that depend on others first, as a cluster being drained would.
func (c *cluster) stop(context.Context) (string, error) {
	var errs []error
	var names []string
	for _, conn := range c.conns {
		errs = append(errs, conn.Close())
	}
	for i := len(c.processes) - 1; i >= 0; i-- {
		names = append(names, c.processes[i].name)
		errs = append(errs, c.processes[i].end())
	}
	c.conns, c.processes = nil, nil
	return strings.Join(names, ", "), errors.Join(errs...)
}
