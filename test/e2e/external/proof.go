package external

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/csi-9p/csi-9p/test/e2e/build"
	"github.com/csi-9p/csi-9p/test/e2e/cluster"
	"github.com/csi-9p/csi-9p/test/e2e/external/sshd"
	"github.com/csi-9p/csi-9p/test/e2e/report"
	"github.com/csi-9p/csi-9p/test/e2e/suite"
)

// SuiteName is that of the lab's suite which has the proof, and nothing else.
const SuiteName = "external"

// Note is what a reader of the results must know.
const Note = "images of Kubernetes' suite that cannot be had here: agnhost is built from its module, its tools are those of Debian's " +
	"busybox, as are busybox, nginx and glibc-dns-testing, of which the specs use the shell; hello-populator is a stand-in with its flags"

// exporterPort is the port of the server whose share the suite's volumes are on.
const exporterPort = 5690

// The programs that the proof runs, by the names that it finds them by.
const (
	ginkgoName = "ginkgo"
	specsName  = "external.test" // ginkgo runs programs with a name of this form only
)

// Programs builds what the proof runs on the admin host, and returns the paths by name.
func Programs(ctx context.Context, b *build.Builder) (map[string]string, error) {
	dir, err := b.Build(ctx, build.ExternalSuite)
	return map[string]string{
		ginkgoName: filepath.Join(dir, "ginkgo"),
		specsName:  filepath.Join(dir, "suite"),
	}, err
}

// Proof is the suite as a proof of the lab. The cluster has to have Programs and Images. focus is a regular expression
// for the names of the specs to run.
func Proof(focus string) suite.Proof {
	return suite.Proof{
		Suite: SuiteName, Name: "external-storage", About: "Kubernetes' own suite for storage drivers", Timeout: timeLimit + 2*time.Minute,
		Run: func(t *suite.T) { prove(t, focus) },
	}
}

func prove(t *suite.T, focus string) {
	share, err := t.Cluster.Serve(t.Context(), cluster.Export{Name: "external", Port: exporterPort})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := share.Close(); err != nil {
			t.Error(err)
		}
	})
	o := Options{
		Kubeconfig: t.Cluster.Kubeconfig, Nodes: len(t.Cluster.Nodes), Parameters: map[string]string{"server": share.URL},
		SSHKey: serveSSH(t), Focus: focus, Dir: t.Reports(),
	}
	for name, path := range map[string]*string{ginkgoName: &o.Ginkgo, specsName: &o.Suite, "kubectl": &o.Kubectl} {
		if *path, err = exec.LookPath(name); err != nil {
			t.Fatal(err)
		}
	}
	results, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	record(t, results)
	if err := results.Err(); err != nil {
		t.Errorf("%v\nsee %s", err, o.file("ginkgo.log"))
	}
	if err := awaitEmpty(t.Context(), share.Dir); err != nil {
		t.Error(err)
	}
}

// awaitEmpty waits until no volume is left on the share, and nothing that the driver noted of one. The last go with the
// namespaces of specs, for whose end the suite does not wait.
func awaitEmpty(ctx context.Context, share string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		volumes, err := filepath.Glob(filepath.Join(share, "[^.]*"))
		if err != nil {
			return err
		}
		records, err := filepath.Glob(filepath.Join(share, ".csi-9p/*/*"))
		if err != nil {
			return err
		}
		left := append(volumes, records...)
		if len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("every claim is deleted, but the share has %q", left)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// record adds the results to the report: a case for each spec that ran, one for each reason of skips.
func record(t *suite.T, r *Results) {
	for _, s := range r.Passed {
		t.Record(report.Case{Name: s.Name, Duration: s.Took})
	}
	for _, s := range r.Failed {
		t.Record(report.Case{Name: s.Name, Duration: s.Took, Outcome: report.Failed, Reason: s.Text})
	}
	for _, s := range r.Unaccepted {
		t.Record(report.Case{Name: s.Name, Outcome: report.Failed, Reason: "skipped, which no missing capability explains: " + s.Text})
	}
	for _, g := range r.Skipped {
		t.Record(report.Case{
			Name: "skipped: " + g.String(), Outcome: report.Skipped,
			Reason: fmt.Sprintf("%d specs: see results.txt", len(g.Specs)),
		})
	}
	f, err := os.Create(filepath.Join(t.Reports(), "results.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := r.WriteText(f); err != nil {
		t.Error(err)
	}
}

// serveSSH serves ssh on every node until the proof is over, and returns the path of the key.
func serveSSH(t *suite.T) string {
	key, err := sshd.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, key.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var servers sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		servers.Wait()
	})
	for _, n := range t.Cluster.Nodes {
		l, err := n.Listen("tcp", n.IP+":22")
		if err != nil {
			t.Fatal(err)
		}
		servers.Go(func() {
			if err := sshd.Serve(ctx, l, key, machine{n}); err != nil {
				t.Errorf("ssh on %s: %v", n.Name, err)
			}
		})
	}
	return path
}

// machine is a node of the lab as ssh reaches it.
type machine struct{ node *cluster.Node }

func (m machine) Run(ctx context.Context, stdout, stderr io.Writer, argv ...string) error {
	cmd := m.node.Command(ctx, argv...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd.Run()
}

func (m machine) StartKubelet() error  { return m.node.Kubelet.Start() }
func (m machine) StopKubelet() error   { return m.node.Kubelet.Stop() }
func (m machine) KubeletRunning() bool { return m.node.Kubelet.Pid() != 0 }
