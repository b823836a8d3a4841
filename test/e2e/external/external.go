// Package external runs Kubernetes' own external storage end-to-end suite, the External.Storage specs of
// k8s.io/kubernetes/test/e2e, against the driver. testdriver.yaml says what the driver claims; every spec that is about
// something claimed has to run and to pass.
package external

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"
)

// timeLimit bounds a run of all specs, which takes about a third of it on two cores.
const timeLimit = 30 * time.Minute

// Options say what a run needs.
type Options struct {
	Suite      string // the program of the package external/suite, named *.test: ginkgo runs nothing else
	Ginkgo     string // the program github.com/onsi/ginkgo/v2/ginkgo
	Kubectl    string // the program
	Kubeconfig string // of a user who may do everything
	Nodes      int    // of the cluster

	// Parameters and MountOptions are those of a StorageClass by which the driver makes volumes.
	Parameters   map[string]string
	MountOptions []string

	SSHKey string // file of the private key that root logs in to nodes with
	Focus  string // regular expression: run the specs that match it only
	Procs  int    // specs that run at the same time; 0: 6, since most of their time is waiting

	Dir string // absolute; is made, and gets the suite's files: its report, its log
}

// Run runs the suite and returns what came of its specs. Its error says that there are no results; that of the results
// says whether they are good. What the suite prints, objects and logs of failed specs with it, is in Dir/ginkgo.log.
func Run(ctx context.Context, o Options) (*Results, error) {
	if err := o.writeFiles(); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(o.Dir, "ginkgo.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, o.Ginkgo, o.arguments()...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = o.Dir, log, log
	cmd.Env = append(os.Environ(), "KUBE_SSH_KEY_PATH="+o.SSHKey, "KUBE_SSH_USER=root")
	// Interrupted, ginkgo lets specs clean up.
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(syscall.SIGINT) }, time.Minute
	ended := cmd.Run()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	results, err := readReport(filepath.Join(o.Dir, "report.json"))
	if err != nil {
		return nil, errors.Join(ended, err, fmt.Errorf("see %s", log.Name()))
	}
	if err := results.Err(); ended != nil && err == nil {
		return nil, fmt.Errorf("every spec passed, yet ginkgo failed (%w): see %s", ended, log.Name())
	}
	return results, nil
}

func readReport(path string) (*Results, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parse(f)
}

// writeFiles writes testdriver.yaml and the StorageClass that it refers to.
func (o *Options) writeFiles() error {
	d, err := parseDefinition(testdriver)
	if err != nil {
		return err
	}
	class, err := yaml.Marshal(map[string]any{
		"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": map[string]any{"name": "external"},
		"provisioner": d.DriverInfo.Name, "parameters": o.Parameters, "mountOptions": o.MountOptions,
	})
	if err != nil {
		return err
	}
	return errors.Join(
		os.MkdirAll(o.Dir, 0o755),
		os.WriteFile(o.file("testdriver.yaml"), testdriver, 0o644),
		os.WriteFile(o.file(d.StorageClass.FromFile), class, 0o644),
	)
}

func (o *Options) file(name string) string { return filepath.Join(o.Dir, name) }

func (o *Options) arguments() []string {
	return []string{
		"--no-color", "--procs=" + strconv.Itoa(cmp.Or(o.Procs, 6)), "--timeout=" + timeLimit.String(),
		"--json-report=report.json", "--output-dir=" + o.Dir,
		"--focus=External.Storage.*(?:" + o.Focus + ")",
		o.Suite, "--",
		"--storage.testdriver=" + o.file("testdriver.yaml"), "--repo-root=" + o.Dir,
		"--provider=skeleton", "--kubeconfig=" + o.Kubeconfig, "--kubectl-path=" + o.Kubectl,
		"--num-nodes=" + strconv.Itoa(o.Nodes),
	}
}
