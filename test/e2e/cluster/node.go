package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/csi-9p/csi-9p/test/e2e/build"
	"github.com/csi-9p/csi-9p/test/e2e/dns"
	"github.com/csi-9p/csi-9p/test/e2e/nsenter"
)

// Node is a machine of the cluster: namespaces with a kubelet, a containerd and a kube-proxy.
type Node struct {
	Name string
	IP   string

	Kubelet, Containerd, Proxy *Process

	podCIDR string
	cgroup  Cgroup
	dir     string // of its configuration and disks
	init    *exec.Cmd
	exited  chan struct{} // closed when init has ended
	target  *nsenter.Target
}

func (c *Cluster) newNode(number int) *Node {
	name := fmt.Sprintf("node%d", number)
	return &Node{
		Name:    name,
		IP:      fmt.Sprintf("10.77.0.%d", 10+number),
		podCIDR: fmt.Sprintf("10.78.%d.0/24", number),
		cgroup:  c.config.Cgroup + Cgroup("/"+name),
		dir:     filepath.Join(c.Dir, name),
	}
}

// boot makes the node's namespaces, connects them and starts containerd.
func (n *Node) boot(ctx context.Context, c *Cluster) error {
	if err := errors.Join(os.MkdirAll(n.dir, 0o755), n.cgroup.make()); err != nil {
		return err
	}
	if err := n.startInit(ctx, c); err != nil {
		return fmt.Errorf("starting %s: %w", n.Name, err)
	}
	var err error
	if n.target, err = nsenter.Open(n.init.Process.Pid); err != nil {
		return err
	}
	if err := n.connect(); err != nil {
		return err
	}
	if err := n.configure(c); err != nil {
		return err
	}
	logs := filepath.Join(c.Reports, "logs", n.Name)
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return err
	}
	daemon := func(name string, args ...string) *Process {
		return &Process{
			Name: name + " of " + n.Name, Log: filepath.Join(logs, name+".log"), target: n.target,
			path: filepath.Join(c.programs, name), args: append([]string{name}, args...),
		}
	}
	n.Containerd = daemon("containerd", "--config", filepath.Join(n.dir, "containerd.toml"))
	n.Kubelet = daemon("kubelet", "--config", filepath.Join(n.dir, "kubelet.yaml"), "--kubeconfig", filepath.Join(n.dir, "kubelet.kubeconfig"),
		"--hostname-override", n.Name, "--node-ip", n.IP)
	n.Proxy = daemon("kube-proxy", "--config", filepath.Join(n.dir, "proxy.yaml"))
	return n.Containerd.Start()
}

// startInit starts the first process of the node's namespaces and waits until those are ready.
func (n *Node) startInit(ctx context.Context, c *Cluster) error {
	config, err := json.Marshal(initConfig{Name: n.Name, Keep: []string{c.config.Cache, c.Dir}, Disk: n.dir})
	if err != nil {
		return err
	}
	path := filepath.Join(n.dir, "init.json")
	if err := os.WriteFile(path, config, 0o644); err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	n.init = exec.Command("/proc/self/exe", c.config.NodeVerb, path)
	n.init.SysProcAttr = Isolated()
	n.init.ExtraFiles = []*os.File{w}
	var problems bytes.Buffer
	n.init.Stderr = &problems
	started := make(chan error)
	n.exited = make(chan struct{})
	go func() {
		runtime.LockOSThread() // the node dies with the thread that started it
		defer runtime.UnlockOSThread()
		defer close(n.exited)
		err := n.init.Start()
		started <- err
		if err == nil {
			_ = n.init.Wait() // it ends by being killed only
		}
	}()
	err = <-started
	w.Close()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { r.Close() })
	defer stop()
	if b, err := io.ReadAll(r); err != nil || len(b) == 0 {
		_ = n.init.Process.Kill() // it may have ended
		<-n.exited
		return errors.Join(err, errors.New(problems.String()))
	}
	return nil
}

// halt ends the node, as if its power failed: the kernel kills every process of the pid namespace with the first, and
// lets go of mounts and interfaces with the last.
func (n *Node) halt() error {
	if n.target == nil {
		return nil
	}
	n.target.Close()
	if err := n.init.Process.Kill(); err != nil {
		return err
	}
	<-n.exited
	return nil
}

// configure writes the configuration of the node's daemons.
func (n *Node) configure(c *Cluster) error {
	config := nodeConfig{
		Name: n.Name, Cgroup: string(n.cgroup), Pause: build.Pause, PodCIDR: n.podCIDR, PodsCIDR: podsCIDR,
		DNS: adminIP, Domain: dns.Domain,
		Programs: c.programs, ProxyKubeconfig: filepath.Join(n.dir, "proxy.kubeconfig"),
	}
	return errors.Join(
		renderTo(filepath.Join(n.dir, "containerd.toml"), "containerd.toml", config),
		renderTo(filepath.Join(n.dir, "kubelet.yaml"), "kubelet.yaml", config),
		renderTo(filepath.Join(n.dir, "proxy.yaml"), "proxy.yaml", config),
		renderTo(filepath.Join(n.dir, "pods.conflist"), "pods.conflist", config),
		c.writeKubeconfig(filepath.Join(n.dir, "kubelet.kubeconfig"), "system:node:"+n.Name),
		c.writeKubeconfig(config.ProxyKubeconfig, "system:kube-proxy"),
	)
}

// importImages waits for containerd, then gives it the images.
func (n *Node) importImages(ctx context.Context, archives []string) error {
	err := n.Containerd.Await(ctx, func(ctx context.Context) error {
		_, err := n.Run(ctx, "ctr", "version")
		return err
	})
	if err != nil {
		return err
	}
	for _, archive := range archives {
		if _, err := n.Run(ctx, "ctr", "--namespace", "k8s.io", "images", "import", "--local", archive); err != nil {
			return err
		}
	}
	_, err = n.Run(ctx, "cp", filepath.Join(n.dir, "pods.conflist"), "/run/cni/pods.conflist")
	return err
}

// Command is a command that runs in a node's namespaces.
type Command struct {
	*exec.Cmd
	target *nsenter.Target
}

// Start starts the command.
func (c *Command) Start() error { return c.target.Start(c.Cmd) }

// Run starts the command and waits for its end.
func (c *Command) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Command returns a command that is killed when ctx ends.
func (n *Node) Command(ctx context.Context, argv ...string) *Command {
	return &Command{Cmd: exec.CommandContext(ctx, argv[0], argv[1:]...), target: n.target}
}

// Run runs a command on the node and returns its output. An error has what the command wrote to its standard error.
func (n *Node) Run(ctx context.Context, argv ...string) (string, error) {
	cmd := n.Command(ctx, argv...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %q: %w: %s", n.Name, argv, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.String(), nil
}
