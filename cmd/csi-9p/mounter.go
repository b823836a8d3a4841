package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/csi-9p/csi-9p/metrics"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
)

// mounterStop is how long requests under way may take after SIGTERM.
const mounterStop = 4 * time.Second

func mounterCommand() *cobra.Command {
	var listen string
	var web httpFlags
	var tls tlsFlags
	var options mounter.Options
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
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runMounter(cmd.Context(), listen, web, tls, options)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "unix:///run/csi-9p/mounter.sock", "control socket, for root and this user alone")
	web.add(cmd.Flags())
	tls.add(cmd.Flags(), "for tls:// without a Secret")
	addIOURing(cmd.Flags(), &options.IOURing)
	addUnsafeDMA(cmd.Flags(), &options.AllowUnsafeDMA)
	return cmd
}

func runMounter(ctx context.Context, listen string, flags httpFlags, tls tlsFlags, options mounter.Options) error {
	if err := checkIOURing(options.IOURing); err != nil {
		return err
	}
	control, err := mounter.SocketPath(listen)
	if err != nil {
		return fmt.Errorf("%w: --listen: %w", errUsage, err)
	}
	if options.TLS, err = tls.source(); err != nil {
		return err
	}
	volumes := mounter.Volumes{Options: options}
	registry := metrics.NewRegistry(version())
	registry.Register(metrics.Volumes(&volumes), metrics.Sessions(volumes.ServerStats))
	web, err := flags.listen(ctx, registry, checks{healthy: (&mounter.Client{Path: control}).Ping})
	if err != nil {
		return err
	}
	defer web.Close()
	listener, err := mounter.Listen(ctx, listen)
	if err != nil {
		return err
	}
	klog.FromContext(ctx).Info("Mounter is ready", "listen", listen, "version", version())
	err = beside(ctx, web, func(ctx context.Context) error { return mounter.Serve(ctx, listener, &volumes) })
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), mounterStop)
	defer cancel()
	return errors.Join(err, volumes.Close(stop))
}
