package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Kubectl runs kubectl as the administrator and returns its output. An error has what it wrote to its standard error.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.kubectl(ctx, "", args...)
}

// Apply makes the objects of a manifest what the manifest says.
func (c *Cluster) Apply(ctx context.Context, manifest string) error {
	_, err := c.kubectl(ctx, manifest, "apply", "--server-side", "--filename", "-")
	return err
}

// Exec runs a command in a container of a pod; of the pod's first container if the name is empty.
func (c *Cluster) Exec(ctx context.Context, namespace, pod, container string, argv ...string) (string, error) {
	args := []string{"exec", "--namespace", namespace, pod}
	if container != "" {
		args = append(args, "--container", container)
	}
	return c.Kubectl(ctx, append(append(args, "--"), argv...)...)
}

func (c *Cluster) kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "kubectl", args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.String(), nil
}

// CreateNamespace creates a namespace in which pods can be created.
func (c *Cluster) CreateNamespace(ctx context.Context, name string) error {
	_, err := c.Client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	return errors.Join(err, c.AwaitServiceAccount(ctx, name))
}

// DeleteNamespace deletes a namespace and waits until all that was in it is gone.
func (c *Cluster) DeleteNamespace(ctx context.Context, name string) error {
	err := c.Client.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})
	for !apierrors.IsNotFound(err) {
		if err != nil {
			return fmt.Errorf("deleting the namespace %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the namespace %s does not go: %w", name, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
		_, err = c.Client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	}
	return nil
}
