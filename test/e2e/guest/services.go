package guest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// services are the processes beside a guest that serve its share by other roads.
type services struct {
	exporter  string // URL of csi-9p serve, as the guest has it
	virtiofsd string // socket of virtiofsd

	processes []*exec.Cmd
}

// serviceTimeout is how long a service may take to be there, and to be gone.
const serviceTimeout = 20 * time.Second

// hostOfGuest is the address by which QEMU's user network has this machine's 127.0.0.1 in the guest.
const hostOfGuest = "10.0.2.2"

// startServices exports the share. Logs go to files that begin with logs.
func startServices(ctx context.Context, driver, share, dir, logs string) (*services, error) {
	ctx, cancel := context.WithTimeout(ctx, serviceTimeout)
	defer cancel()
	s := &services{virtiofsd: filepath.Join(dir, "virtiofs")}
	err := errors.Join(s.startExporter(ctx, driver, share, logs+"-exporter.txt"), s.startVirtiofsd(ctx, share, logs+"-virtiofsd.txt"))
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// start runs a program until [services.stop]. What it prints goes to a file, unless stdout is given.
func (s *services) start(log string, stdout io.Writer, name string, args ...string) error {
	f, err := os.Create(log)
	if err != nil {
		return err
	}
	defer f.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = f, f
	if stdout != nil {
		cmd.Stdout = stdout
	}
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.processes = append(s.processes, cmd)
	return nil
}

// startExporter runs csi-9p serve, which says where it listens.
func (s *services) startExporter(ctx context.Context, driver, share, log string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	err = s.start(log, w, driver, "serve", "--listen", "tcp://127.0.0.1:0", share)
	w.Close()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { r.Close() })()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		return fmt.Errorf("csi-9p serve did not say where it listens: %w (see %s)", err, log)
	}
	fields := strings.Fields(line)
	u, err := url.Parse(fields[len(fields)-1])
	if err != nil {
		return err
	}
	s.exporter = "tcp://" + net.JoinHostPort(hostOfGuest, u.Port())
	return nil
}

// startVirtiofsd runs virtiofsd for one guest.
func (s *services) startVirtiofsd(ctx context.Context, share, log string) error {
	err := s.start(log, nil, "/usr/lib/qemu/virtiofsd", "--socket-path="+s.virtiofsd, "-o", "source="+share, "-o", "cache=auto", "-f")
	for err == nil {
		if _, err := os.Stat(s.virtiofsd); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("virtiofsd made no socket: %w (see %s)", ctx.Err(), log)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return err
}

// stop ends the services and waits until they are gone.
func (s *services) stop() error {
	var errs []error
	for _, cmd := range s.processes {
		_ = cmd.Process.Signal(unix.SIGTERM) // virtiofsd ends with its guest
		kill := time.AfterFunc(serviceTimeout, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		if !kill.Stop() {
			errs = append(errs, fmt.Errorf("%s did not end when it was asked to: %w", filepath.Base(cmd.Path), err))
		}
	}
	return errors.Join(errs...)
}
