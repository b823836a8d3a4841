package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DriverNamespace is where the driver's manifests put it.
const DriverNamespace = "csi-9p-system"

// Collect writes what the cluster knows to dir: objects, events and the logs of containers, those of the namespaces
// given and of the driver's.
func (c *Cluster) Collect(ctx context.Context, dir string, namespaces ...string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	save := func(name string, args ...string) error {
		out, err := c.Kubectl(ctx, args...)
		return errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(out), 0o644))
	}
	errs := []error{
		save("pods.txt", "get", "pods", "--all-namespaces", "--output", "wide"),
		save("storage.yaml", "get", "--all-namespaces", "--output", "yaml", "pv,pvc,storageclass,csidriver,csinode,volumeattributesclass"),
	}
	namespaces = append(slices.Clone(namespaces), DriverNamespace)
	for _, namespace := range slices.Compact(namespaces) {
		errs = append(errs,
			save(namespace+"-describe.txt", "describe", "--namespace", namespace, "pods,pvc"),
			save(namespace+"-events.txt", "events", "--namespace", namespace),
			c.collectLogs(ctx, dir, namespace),
		)
	}
	for _, n := range c.Nodes {
		mounts, err := n.Run(ctx, "cat", "/proc/self/mountinfo")
		errs = append(errs, err, os.WriteFile(filepath.Join(dir, n.Name+"-mountinfo.txt"), []byte(mounts), 0o644))
	}
	return errors.Join(errs...)
}

// collectLogs writes the log of every container of a namespace, and that of its previous life.
func (c *Cluster) collectLogs(ctx context.Context, dir, namespace string) error {
	pods, err := c.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var errs []error
	for _, pod := range pods.Items {
		for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			for suffix, previous := range map[string]string{".log": "--previous=false", ".previous.log": "--previous"} {
				out, err := c.Kubectl(ctx, "logs", previous, "--namespace", namespace, pod.Name, "--container", container.Name)
				if err != nil {
					continue // it has not begun, or has no previous life
				}
				name := namespace + "-" + pod.Name + "-" + container.Name + suffix
				errs = append(errs, os.WriteFile(filepath.Join(dir, name), []byte(out), 0o644))
			}
		}
	}
	return errors.Join(errs...)
}
