// Package health looks at the HTTP endpoints of the real processes, as the kubelet and Prometheus do.
package health

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/csi-9p/csi-9p/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m, nil) }

// process is a verb of the binary with its HTTP endpoint.
type process struct {
	*lab.Process
	t       *testing.T
	address string
}

func start(t *testing.T, verb string, args ...string) *process {
	t.Helper()
	p := &process{t: t, address: freeAddress(t)}
	args = append([]string{verb, "--http-endpoint", p.address}, args...)
	p.Process = lab.Start(t, exec.Command(lab.Binary(t), args...))
	p.becomes("/healthz", http.StatusOK)
	return p
}

// freeAddress is one that nobody listens on at the moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (p *process) get(path string) (int, string, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	response, err := client.Get("http://" + p.address + path)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// becomes waits for an answer.
func (p *process) becomes(path string, want int) {
	p.t.Helper()
	lab.Eventually(p.t, 10*time.Second, func() error {
		code, body, err := p.get(path)
		if err == nil && code != want {
			err = fmt.Errorf("GET %s: %d %s", path, code, body)
		}
		return err
	})
}

// expect checks an answer.
func (p *process) expect(path string, want int, texts ...string) {
	p.t.Helper()
	code, body, err := p.get(path)
	if err != nil || code != want {
		p.t.Errorf("GET %s: %d, %v, want %d; %.200s", path, code, err, want, body)
	}
	for _, text := range texts {
		if !strings.Contains(body, text) {
			p.t.Errorf("GET %s does not say %q: %.200s", path, text, body)
		}
	}
}

func TestEndpoints(t *testing.T) {
	dir := lab.Dir(t)
	socket := func(name string) string { return "unix://" + filepath.Join(dir, name) }
	exporter := start(t, "serve", "--listen", socket("9p.sock"), lab.Dir(t))
	mounter := start(t, "mounter", "--listen", socket("mounter.sock"))
	node := start(t, "node", "--endpoint", socket("node.sock"), "--nodeid", "n", "--mounter", socket("mounter.sock"))
	controller := start(t, "controller", "--endpoint", socket("controller.sock"))
	for name, p := range map[string]*process{"exporter_connections": exporter, "volumes": mounter, "node_mounter_up": node, "build_info": controller} {
		p.expect("/readyz", http.StatusOK, "ok")
		p.expect("/metrics", http.StatusOK, "csi9p_"+name, "csi9p_build_info", "go_goroutines", "process_start_time_seconds")
	}
	connection, err := grpc.NewClient(socket("node.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	probe := func() error {
		_, err := csi.NewIdentityClient(connection).Probe(context.Background(), &csi.ProbeRequest{})
		return err
	}
	if err := probe(); err != nil {
		t.Error(err)
	}
	node.expect("/metrics", http.StatusOK, `method_name="/csi.v1.Identity/Probe"`)

	// Without its mounter the node service is well, and not ready: a restart would mend nothing.
	mounter.Kill(t)
	node.expect("/healthz", http.StatusOK)
	node.expect("/readyz", http.StatusServiceUnavailable, "no mounter answers", "mounter.sock")
	if err := probe(); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "no mounter answers") {
		t.Errorf("Probe: %v", err)
	}
	node.expect("/metrics", http.StatusOK, "csi9p_node_mounter_up 0")
}

// A frozen process is not healthy: that is what a liveness probe is for.
func TestFrozenMounter(t *testing.T) {
	dir := lab.Dir(t)
	mounter := start(t, "mounter", "--listen", "unix://"+filepath.Join(dir, "mounter.sock"))
	node := start(t, "node", "--endpoint", "unix://"+filepath.Join(dir, "node.sock"), "--nodeid", "n", "--mounter", "unix://"+filepath.Join(dir, "mounter.sock"))
	mounter.Signal(t, syscall.SIGSTOP)
	node.becomes("/readyz", http.StatusServiceUnavailable)
	node.expect("/readyz", http.StatusServiceUnavailable, "mounter.sock")
	mounter.Signal(t, syscall.SIGCONT)
	node.becomes("/readyz", http.StatusOK)
}

// An address that is taken is an error before the process takes up its work.
func TestTakenAddress(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := lab.Dir(t)
	for _, flags := range [][]string{
		{"--http-endpoint", taken.Addr().String()},
		{"--http-endpoint", ":0", "--pprof"},
		{"--pprof"},
	} {
		args := append([]string{"mounter", "--listen", "unix://" + filepath.Join(dir, "m.sock")}, flags...)
		out, err := exec.Command(lab.Binary(t), args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "HTTP endpoint") {
			t.Errorf("%q: %v\n%s", flags, err, out)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
			t.Errorf("%q left %q", flags, left)
		}
	}
}
