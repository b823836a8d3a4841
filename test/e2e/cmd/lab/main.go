// Command lab proves what the driver promises: with pods and claims in a real Kubernetes cluster of two nodes on this
// machine, and in virtual machines with a virtio-9p device.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/e2e/cluster"
)

// The verbs by which this executable becomes the first process of namespaces.
const (
	adminVerb = "admin"
	nodeVerb  = "node"
)

func main() {
	root := &cobra.Command{Use: "lab", Short: "A Kubernetes cluster, or virtual machines, on this machine, for the driver", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(clusterCommand(), guestCommand(), enterCommand(), adminCommand(), nodeCommand())
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		stop()
		os.Exit(1)
	}
}

// nodeCommand is the first process of a node.
func nodeCommand() *cobra.Command {
	return &cobra.Command{
		Use: nodeVerb, Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			const ready = 3 // the first of ExtraFiles
			return cluster.InitNode(args[0], os.NewFile(ready, "ready"))
		},
	}
}
