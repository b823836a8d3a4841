package sshd_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/test/e2e/external/sshd"
	"golang.org/x/crypto/ssh"
)

// machine is this machine as a node, with a kubelet that does not exist.
type machine struct {
	running bool
	stop    error
}

func (m *machine) Run(ctx context.Context, stdout, stderr io.Writer, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd.Run()
}

func (m *machine) StartKubelet() error  { m.running = true; return nil }
func (m *machine) StopKubelet() error   { m.running = m.stop != nil; return m.stop }
func (m *machine) KubeletRunning() bool { return m.running }

func newKey(t *testing.T) *sshd.Key {
	t.Helper()
	key, err := sshd.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// serve serves m and returns the address. The server has ended when the test has.
func serve(t *testing.T, key *sshd.Key, m *machine) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- sshd.Serve(ctx, l, key, m) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

func dial(t *testing.T, address string, key *sshd.Key) (*ssh.Client, error) {
	t.Helper()
	signer, err := ssh.ParsePrivateKey(key.PEM)
	if err != nil {
		t.Fatal(err)
	}
	client, err := ssh.Dial("tcp", address, &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err == nil {
		t.Cleanup(func() { client.Close() })
	}
	return client, err
}

func run(t *testing.T, client *ssh.Client, line string) (stdout, stderr string, status int) {
	t.Helper()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	var out, errs bytes.Buffer
	session.Stdout, session.Stderr = &out, &errs
	err = session.Run(line)
	var exit *ssh.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", line, err)
	}
	if exit != nil {
		status = exit.ExitStatus()
	}
	return out.String(), errs.String(), status
}

func TestCommands(t *testing.T) {
	key := newKey(t)
	client, err := dial(t, serve(t, key, &machine{}), key)
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr, status := run(t, client, "echo one | tr o O; echo two >&2; exit 3")
	if stdout != "One\n" || stderr != "two\n" || status != 3 {
		t.Errorf("got %q, %q and status %d", stdout, stderr, status)
	}
	if _, stderr, status := run(t, client, "sudo --version"); !strings.Contains(stderr, "command not found") || status == 0 {
		t.Errorf("sudo: got %q and status %d; the suite would put sudo before its commands", stderr, status)
	}
}

func TestKubelet(t *testing.T) {
	key, node := newKey(t), &machine{running: true}
	client, err := dial(t, serve(t, key, node), key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ verb, state string }{{"stop", "inactive\n"}, {"start", "active\n"}} {
		if _, stderr, status := run(t, client, "systemctl "+c.verb+" kubelet"); status != 0 {
			t.Errorf("%s: status %d: %s", c.verb, status, stderr)
		}
		if state, _, _ := run(t, client, "systemctl show kubelet --property ActiveState --value"); state != c.state {
			t.Errorf("after %s the state is %q", c.verb, state)
		}
	}
	node.stop = errors.New("it does not end")
	if _, stderr, status := run(t, client, "systemctl stop kubelet"); status == 0 || !strings.Contains(stderr, "it does not end") {
		t.Errorf("a stop that failed: status %d, %q", status, stderr)
	}
}

func TestAnotherKeyIsRefused(t *testing.T) {
	if _, err := dial(t, serve(t, newKey(t), &machine{}), newKey(t)); err == nil {
		t.Error("another key was let in")
	}
}
