package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a process may take to come up, or to end.
const patience = 20 * time.Second

// stand is what stands for the time of a run: processes, mounts and a directory, all of them gone after close.
type stand struct {
	dir  string // on a disk or not, as the caller wants
	ends []func() error
}

func newStand(parent string) (*stand, error) {
	dir, err := os.MkdirTemp(parent, "csi-9p-bench-")
	if err != nil {
		return nil, err
	}
	s := &stand{dir: dir}
	s.ends = append(s.ends, func() error { return os.RemoveAll(dir) })
	return s, nil
}

// close undoes what was done, the latest first.
func (s *stand) close() error {
	var errs []error
	for i := len(s.ends) - 1; i >= 0; i-- {
		errs = append(errs, s.ends[i]())
	}
	return errors.Join(errs...)
}

// mkdir makes a directory.
func (s *stand) mkdir(name string) (string, error) {
	path := filepath.Join(s.dir, name)
	return path, os.Mkdir(path, 0o755)
}

// start runs a command until close. It returns when the command has printed its first line, if it is to print one.
func (s *stand) start(cmd *exec.Cmd, prints bool) error {
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.ends = append(s.ends, func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM) // one that is gone is waited for all the same
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &exit) { // how it ended does not matter
			return err
		}
		return nil
	})
	if !prints {
		return nil
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return fmt.Errorf("%s ended before it was ready: %w", filepath.Base(cmd.Path), err)
	}
	return nil
}

// loopback mounts go-fuse's loopback file system on dir, in a process of its own: this program again.
func (s *stand) loopback(name, dir string, f flavour) (string, error) {
	at, err := s.mkdir(name)
	if err != nil {
		return "", err
	}
	asked, err := json.Marshal(f)
	if err != nil {
		return "", err
	}
	if err := s.start(exec.Command("/proc/self/exe", "loopback", dir, at, string(asked)), true); err != nil {
		return "", err
	}
	s.ends = append(s.ends, func() error { return detach(at) })
	if f.Request == 0 {
		return at, nil
	}
	return at, readAhead(at)
}

// sshfs mounts dir by sshfs from an sshd of its own on the loopback interface, with keys that nobody else has: first as
// is, then without caches of attributes and names and with writes that are on the server when they return. Both have the fastest cipher, and no compression.
func (s *stand) sshfs(ctx context.Context, dir string) (cached, uncached string, err error) {
	port, err := s.sshd(ctx)
	if err != nil {
		return "", "", err
	}
	key := filepath.Join(s.dir, "user-key")
	for _, mount := range []struct {
		at      *string
		name    string
		options string
	}{{&cached, "sshfs", ""}, {&uncached, "sshfs-uncached", ",dir_cache=no,attr_timeout=0,entry_timeout=0,negative_timeout=0,sshfs_sync"}} {
		at, err := s.mkdir(mount.name)
		if err != nil {
			return "", "", err
		}
		options := "port=" + port + ",IdentityFile=" + key + ",IdentitiesOnly=yes,StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null,LogLevel=ERROR" +
			",Ciphers=aes128-gcm@openssh.com,Compression=no,allow_other,default_permissions,max_conns=4" + mount.options
		out, err := exec.CommandContext(ctx, "sshfs", "root@127.0.0.1:"+dir, at, "-F", "/dev/null", "-o", options).CombinedOutput()
		if err != nil {
			return "", "", fmt.Errorf("sshfs: %w: %s", err, out)
		}
		s.ends = append(s.ends, func() error { return detach(at) })
		if err := readAhead(at); err != nil {
			return "", "", err
		}
		*mount.at = at
	}
	return cached, uncached, nil
}

// sshd starts the daemon and returns its port.
func (s *stand) sshd(ctx context.Context) (string, error) {
	for _, name := range []string{"host-key", "user-key"} {
		if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", filepath.Join(s.dir, name)).CombinedOutput(); err != nil {
			return "", fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	if err := s.separation(); err != nil {
		return "", err
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	config := strings.Join([]string{
		"Port " + port, "ListenAddress 127.0.0.1", "HostKey " + s.dir + "/host-key", "AuthorizedKeysFile " + s.dir + "/user-key.pub", "PidFile none",
		"StrictModes no", "UsePAM no", "PasswordAuthentication no", "PermitRootLogin prohibit-password", "Compression no", "MaxStartups 100",
		"Ciphers aes128-gcm@openssh.com", "LogLevel QUIET", "Subsystem sftp internal-sftp", "",
	}, "\n")
	path := filepath.Join(s.dir, "sshd_config")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return "", err
	}
	if err := s.start(exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", path), false); err != nil {
		return "", err
	}
	return port, reachable(ctx, "127.0.0.1:"+port)
}

// separation makes the empty directory that sshd wants, as its service would, unless it is there.
func (s *stand) separation() error {
	const dir = "/run/sshd"
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	s.ends = append(s.ends, func() error { return os.Remove(dir) })
	return err
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

// reachable waits until somebody listens.
func reachable(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		if ctx.Err() != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// detach takes a mount off, if it is still there.
func detach(at string) error {
	if err := unix.Unmount(at, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount %s: %w", at, err)
	}
	return nil
}

// readAhead gives a mount as much read-ahead as the driver gives its own.
func readAhead(at string) error {
	var st unix.Stat_t
	if err := unix.Stat(at, &st); err != nil {
		return err
	}
	path := fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", unix.Major(st.Dev), unix.Minor(st.Dev))
	return os.WriteFile(path, []byte("1024"), 0)
}
