package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DriverName is what the driver is called in StorageClasses.
const DriverName = "csi-9p.dev"

// Install applies the driver's manifest and waits until it serves on every node.
func (c *Cluster) Install(ctx context.Context, manifest string) error {
	if err := c.Apply(ctx, manifest); err != nil {
		return err
	}
	everyNode := fmt.Sprintf("{.status.numberReady}=%d", len(c.Nodes))
	for workload, ready := range map[string]string{
		"daemonset/csi-9p-mounter":     everyNode,
		"daemonset/csi-9p-node":        everyNode,
		"deployment/csi-9p-controller": "{.status.readyReplicas}=2",
	} {
		_, err := c.Kubectl(ctx, "wait", "--namespace", DriverNamespace, workload, "--for=jsonpath="+ready, "--timeout=2m")
		if err != nil {
			return err
		}
	}
	for _, n := range c.Nodes {
		if err := c.awaitRegistered(ctx, n.Name); err != nil {
			return err
		}
	}
	return nil
}

// awaitRegistered waits until kubelet knows the driver.
func (c *Cluster) awaitRegistered(ctx context.Context, node string) error {
	for {
		object, err := c.Client.StorageV1().CSINodes().Get(ctx, node, metav1.GetOptions{})
		if err == nil {
			err = errors.New("it knows others only")
			for _, d := range object.Spec.Drivers {
				if d.Name == DriverName {
					return nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the kubelet of %s does not know %s: %w", node, DriverName, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
