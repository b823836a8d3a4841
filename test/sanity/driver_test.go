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
	for _, args := range [][]string{
		{"controller", "--endpoint", d.socket("controller.sock")},
		{"mounter", "--listen", d.socket("mounter.sock")},
		{"node", "--endpoint", d.socket("node.sock"), "--nodeid", "sanity", "--mounter", d.socket("mounter.sock")},
	} {
		d.processes = append(d.processes, lab.Start(t, exec.Command(lab.Binary(t), append(args, flags...)...)))
	}
	for _, name := range []string{"controller.sock", "mounter.sock", "node.sock"} {
		lab.Eventually(t, 10*time.Second, func() error { return answers(filepath.Join(d.dir, name)) })
	}
	return d
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
