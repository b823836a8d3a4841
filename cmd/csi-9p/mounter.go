package main

import (
	"context"
	"errors"
	"time"

	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
)

// mounterStop is how long requests under way may take after SIGTERM.
const mounterStop = 4 * time.Second

func mounterCommand() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:   "mounter",
		Short: "Own the mounts of a node",
		Long: `mounter holds the sessions to the servers and serves the mounts of this node's volumes. The node
service asks it for them over the control socket and hands it each mount's /dev/fuse, so that it
needs no privilege to mount and the node service can restart at any time.

When mounter ends, the mounts end with it: pods get ENOTCONN until they are started again. Deploy
it with updateStrategy OnDelete and drain a node before its mounter is replaced. SIGTERM lets
requests under way finish; a second one ends it at once.`,
		Example: `  csi-9p mounter --listen unix:///run/csi-9p/mounter.sock`,
		Args:    positional(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runMounter(cmd.Context(), listen) },
	}
	cmd.Flags().StringVar(&listen, "listen", "unix:///run/csi-9p/mounter.sock", "control socket, for root and this user alone")
	return cmd
}

func runMounter(ctx context.Context, listen string) error {
	listener, err := mounter.Listen(ctx, listen)
	if err != nil {
		return err
	}
	klog.FromContext(ctx).Info("Mounter is ready", "listen", listen, "version", version())
	var volumes mounter.Volumes
	err = mounter.Serve(ctx, listener, &volumes)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), mounterStop)
	defer cancel()
	return errors.Join(err, volumes.Close(stop))
}
