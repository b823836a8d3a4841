// Package cluster brings up a real Kubernetes cluster on one machine: nodes with namespaces of their own, each with
// kubelet, containerd and kube-proxy, and a control plane in the namespaces of the caller, the admin host.
//
// Everything dies with the caller, which must be the first process of its namespaces; see Isolated. What the kernel
// does not clean up by itself is the cgroup (Config.Cgroup) and the directory (Config.Dir).
package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/csi-9p/csi-9p/test/e2e/dns"
)

// Config says what a cluster is made of and where it keeps its things.
type Config struct {
	Nodes      int
	Artifacts  Artifacts
	Repository string // directory of the driver's sources
	Cache      string // directory of the artifacts
	Dir        string // directory, not yet there, for what the cluster writes; on a disk, because overlayfs is
	Reports    string // directory of logs
	Cgroup     Cgroup // of all pods
	NodeVerb   string // first argument by which this executable becomes InitNode; the second is its config
}

// Cluster is a cluster that runs.
type Cluster struct {
	Client     kubernetes.Interface
	REST       *rest.Config // of a cluster administrator, as is Client
	Kubeconfig string       // path of the same
	Nodes      []*Node
	Dir        string // scratch
	Repository string // directory of the driver's sources, with its manifests and examples
	Reports    string // directory of logs and of what is collected after a failure

	config    Config
	programs  string // directory of links to all programs
	authority string // path of the certificate that the API server is known by
	tokens    map[string]string
	processes []*Process // of the control plane
	stopDNS   func() error
}

// Start brings up a cluster, whose nodes are ready when it returns. On an error the cluster is returned too, for its
// logs; Stop it.
func Start(ctx context.Context, config Config) (*Cluster, error) {
	c := &Cluster{
		Dir: config.Dir, Repository: config.Repository, Reports: config.Reports, Kubeconfig: filepath.Join(config.Dir, "admin.kubeconfig"),
		config: config, programs: filepath.Join(config.Dir, "programs"),
	}
	if err := c.prepare(); err != nil {
		return c, err
	}
	if err := layBridge(); err != nil {
		return c, err
	}
	tasks, starting := errgroup.WithContext(ctx)
	tasks.Go(func() error { return c.startAPI(starting) })
	for _, n := range c.Nodes {
		if err := n.boot(starting, c); err != nil {
			return c, errors.Join(err, tasks.Wait())
		}
		tasks.Go(func() error { return n.importImages(starting, config.Artifacts.Images) })
	}
	for _, n := range c.Nodes {
		for _, other := range c.Nodes {
			if n != other {
				if err := n.introduce(other); err != nil {
					return c, errors.Join(err, tasks.Wait())
				}
			}
		}
	}
	if err := tasks.Wait(); err != nil {
		return c, err
	}
	for _, n := range c.Nodes {
		if err := errors.Join(n.Kubelet.Start(), n.Proxy.Start()); err != nil {
			return c, err
		}
	}
	c.startDNS()
	return c, c.awaitReady(ctx)
}

// startDNS answers for the names of Services until the cluster stops.
func (c *Cluster) startDNS() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	server := dns.New(ctx, c.Client)
	go func() { ended <- server.Serve(ctx, net.JoinHostPort(adminIP, "53")) }()
	c.stopDNS = func() error {
		cancel()
		return <-ended
	}
}

// prepare makes what needs no process.
func (c *Cluster) prepare() error {
	for _, dir := range []string{c.Dir, c.programs, filepath.Join(c.Reports, "logs")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := c.config.Artifacts.link(c.programs); err != nil {
		return err
	}
	if err := c.config.Cgroup.make(); err != nil {
		return err
	}
	for number := range c.config.Nodes {
		c.Nodes = append(c.Nodes, c.newNode(number+1))
	}
	return errors.Join(
		os.Setenv("PATH", c.programs+":/usr/sbin:/usr/bin:/sbin:/bin"), // of every process of the lab
		os.Setenv("KUBECONFIG", c.Kubeconfig),
		os.Setenv("HOME", c.Dir),
		c.prepareCredentials(),
	)
}

// awaitReady waits until pods can run on every node.
func (c *Cluster) awaitReady(ctx context.Context) error {
	for _, n := range c.Nodes {
		err := n.Kubelet.Await(ctx, func(ctx context.Context) error {
			node, err := c.Client.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			for _, condition := range node.Status.Conditions {
				if condition.Type == "Ready" && condition.Status == "True" {
					return nil
				}
			}
			return fmt.Errorf("%s is not Ready", n.Name)
		})
		if err != nil {
			return err
		}
	}
	return c.AwaitServiceAccount(ctx, "default")
}

// AwaitServiceAccount waits until a namespace has its default ServiceAccount, without which no pod is admitted.
func (c *Cluster) AwaitServiceAccount(ctx context.Context, namespace string) error {
	for {
		_, err := c.Client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Node returns the node of that name, nil if there is none.
func (c *Cluster) Node(name string) *Node {
	for _, n := range c.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// Stop ends every process of the cluster, those of its nodes by ending the nodes.
func (c *Cluster) Stop() error {
	var errs []error
	if c.stopDNS != nil {
		errs = append(errs, c.stopDNS())
	}
	for _, n := range c.Nodes {
		errs = append(errs, n.halt())
	}
	for _, p := range c.processes {
		errs = append(errs, p.Kill())
	}
	return errors.Join(errs...)
}

// connectAPI makes the clients.
func (c *Cluster) connectAPI() (err error) {
	if c.REST, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return err
	}
	c.REST.QPS, c.REST.Burst = 200, 400
	c.Client, err = kubernetes.NewForConfig(c.REST)
	return err
}
