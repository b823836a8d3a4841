package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/e2e/build"
	"github.com/csi-9p/csi-9p/test/e2e/cluster"
	"github.com/csi-9p/csi-9p/test/e2e/external"
	"github.com/csi-9p/csi-9p/test/e2e/report"
	"github.com/csi-9p/csi-9p/test/e2e/residue"
)

// labSuite is the suite of what the lab does itself, in reports.
const labSuite = "lab"

// stopGrace is how long an interrupted cluster has to end in order.
const stopGrace = 2 * time.Minute

// options are the command line of the verb cluster.
type options struct {
	Suite   string
	Run     string
	Keep    bool
	Reports string
	Nodes   int
	overlay string
	cache   string
}

// external reports whether Kubernetes' own suite is to run. --run selects among its specs if it alone does.
func (o options) external() bool {
	return o.Suite == external.SuiteName || o.Suite == "all" && o.Run == ""
}

// plan is what the admin host is told.
type plan struct {
	Options  options
	Cluster  cluster.Config
	Manifest string // of the driver
}

func clusterCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Bring up a cluster with the driver, prove what is to be proved, leave nothing behind",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runCluster(cmd.Context(), o) },
	}
	cache := defaultCache()
	cmd.Flags().StringVar(&o.Suite, "suite", "all", "what to run: smoke, proofs, external, all, or none to see the cluster start and end")
	cmd.Flags().StringVar(&o.Run, "run", "", "run only the proofs, with --suite=external the specs, whose name matches this regular expression")
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "keep the cluster until interrupted")
	cmd.Flags().StringVar(&o.Reports, "report", filepath.Join(cache, "reports", time.Now().UTC().Format("20060102-150405")), "directory of the report")
	cmd.Flags().IntVar(&o.Nodes, "nodes", 2, "number of nodes")
	cmd.Flags().StringVar(&o.overlay, "overlay", "lab", "which of deploy/kubernetes/overlays to install")
	cmd.Flags().StringVar(&o.cache, "cache", cache, "directory of what is built once (CSI9P_LAB_CACHE)")
	return cmd
}

// defaultCache is where what is built once is kept, unless a flag says something else.
func defaultCache() string {
	if cache := os.Getenv("CSI9P_LAB_CACHE"); cache != "" {
		return cache
	}
	home, _ := os.UserCacheDir()
	return filepath.Join(home, "csi-9p-lab")
}

func runCluster(ctx context.Context, o options) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("the lab makes namespaces, mounts and cgroups: run it as root")
	}
	if _, err := regexp.Compile(o.Run); err != nil {
		return fmt.Errorf("--run: %w", err)
	}
	for _, dir := range []*string{&o.Reports, &o.cache} {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return err
		}
		if err := os.MkdirAll(*dir, 0o755); err != nil {
			return err
		}
	}
	p, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	before, err := residue.Look()
	if err != nil {
		return err
	}
	r, err := newRun(o.cache)
	if err != nil {
		return err
	}
	p.Cluster.Dir, p.Cluster.Cgroup = r.Dir, cluster.Cgroup("/"+r.Cgroup)
	err = runAdmin(ctx, p)
	return errors.Join(err, leave(r, before, o.Reports))
}

// leave removes what the run has on the machine, and reports whether that is now as it was before.
func leave(r *run, before *residue.Machine, reports string) error {
	started := time.Now()
	err := errors.Join(r.remove(), before.Compare(r.Run))
	told := report.New(os.Stdout)
	step := report.Case{Suite: labSuite, Name: "nothing-left", About: "no mount, cgroup, process, interface or file is left, no sysctl changed"}
	told.Add(step.End(started, err))
	return errors.Join(err, told.Save(filepath.Join(reports, "junit-machine.xml")))
}

// prepare builds what the cluster is made of. It needs the network, which the namespaces do not have.
func prepare(ctx context.Context, o options) (*plan, error) {
	module, err := moduleDir()
	if err != nil {
		return nil, err
	}
	b := &build.Builder{Cache: o.cache, Module: module, Output: os.Stdout}
	programs, err := cluster.MakePrograms(ctx, b)
	if err != nil {
		return nil, err
	}
	manifest, err := renderDriver(ctx, programs["kubectl"], filepath.Join(module, "../../deploy/kubernetes/overlays", o.overlay))
	if err != nil {
		return nil, err
	}
	names := append(imagesOf(manifest), build.Pause, build.Busybox, build.Workload)
	if o.external() {
		more, err := external.Programs(ctx, b)
		if err != nil {
			return nil, err
		}
		maps.Copy(programs, more)
		names = append(names, external.Images()...)
	}
	images, err := b.Images(ctx, names)
	if err != nil {
		return nil, err
	}
	return &plan{
		Options:  o,
		Manifest: manifest,
		Cluster: cluster.Config{
			Nodes: o.Nodes, Artifacts: cluster.Artifacts{Programs: programs, Images: images},
			Repository: filepath.Join(module, "../.."), Cache: o.cache, Reports: o.Reports, NodeVerb: nodeVerb,
		},
	}, nil
}

// moduleDir is the directory of test/e2e: the lab is run by the Go command, from its sources.
func moduleDir() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/csi-9p/csi-9p/test/e2e").Output()
	if err != nil {
		return "", fmt.Errorf("run the lab in its directory, test/e2e: %w", err)
	}
	return filepath.Clean(string(out[:len(out)-1])), nil
}

func renderDriver(ctx context.Context, kubectl, overlay string) (string, error) {
	cmd := exec.CommandContext(ctx, kubectl)
	cmd.Args = []string{"kubectl", "kustomize", overlay}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("rendering %s: %w", overlay, err)
	}
	return string(out), nil
}

var imageLine = regexp.MustCompile(`(?m)^[ -]*image: (\S+)$`)

// imagesOf are the images that a manifest names.
func imagesOf(manifest string) []string {
	var names []string
	for _, match := range imageLine.FindAllStringSubmatch(manifest, -1) {
		names = append(names, match[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// runAdmin runs the admin host: this executable again, in namespaces of its own, until it is done.
func runAdmin(ctx context.Context, p *plan) error {
	path := filepath.Join(p.Cluster.Dir, "plan.json")
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return err
	}
	runtime.LockOSThread() // the admin host dies with the thread that starts it
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", adminVerb, path)
	cmd.Env = append(os.Environ(), residue.Marker+"="+p.Cluster.Dir)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = cluster.Isolated()
	cmd.SysProcAttr.Setpgid = true // interrupted by this process alone
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = stopGrace
	err = cmd.Run()
	if errors.Is(err, context.Canceled) && cmd.ProcessState.ExitCode() == 0 {
		return nil // a cluster that was kept ends by being interrupted
	}
	return err
}
