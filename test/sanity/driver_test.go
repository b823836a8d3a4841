package sanity

import (
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/csi-9p/csi-9p/test/lab"
)

// running is a driver's three processes.
type running struct {
	t         *testing.T
	dir       string // of their sockets
	processes []*lab.Process
}

// startDriver starts them until the test ends.
func startDriver(t *testing.T, flags ...string) *running {
	t.Helper()
	d := &running{t: t, dir: lab.Dir(t)}
	d.start(flags, flags, flags)
	return d
}

// startOnNode starts them as each node has them where there is no central
// controller: the controller reaches shares through the mounter.
func startOnNode(t *testing.T, shares ...string) *running {
	t.Helper()
	d := &running{t: t, dir: lab.Dir(t)}
	here := []string{"--sessions", d.socket("sessions.sock")}
	for _, share := range shares {
		here = append(here, "--topology-share", share)
	}
	d.start(append(here, "--nodeid", "sanity"), []string{"--sessions-listen", d.socket("sessions.sock")}, here)
	return d
}

// start starts the processes, each with more flags.
func (d *running) start(controller, mounter, node []string) {
	d.t.Helper()
	for _, args := range [][]string{
		append([]string{"controller", "--endpoint", d.socket("controller.sock")}, controller...),
		append([]string{"mounter", "--listen", d.socket("mounter.sock")}, mounter...),
		append([]string{"node", "--endpoint", d.socket("node.sock"), "--nodeid", "sanity", "--mounter", d.socket("mounter.sock")}, node...),
	} {
		d.processes = append(d.processes, lab.Start(d.t, exec.Command(lab.Binary(d.t), args...)))
	}
	for _, name := range []string{"controller.sock", "mounter.sock", "node.sock"} {
		lab.Eventually(d.t, 10*time.Second, func() error { return answers(filepath.Join(d.dir, name)) })
	}
}

func (d *running) socket(name string) string { return "unix://" + filepath.Join(d.dir, name) }

func (d *running) dial(name string) *grpc.ClientConn {
	d.t.Helper()
	conn, err := grpc.NewClient(d.socket(name), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// answers reports why nobody accepts connections on a unix socket.
func answers(path string) error {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	return conn.Close()
}
