package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/csi-9p/csi-9p/driver/httpd"
	"github.com/csi-9p/csi-9p/metrics"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"
)

// mounterStop is how long requests under way may take after SIGTERM.
const mounterStop = 4 * time.Second

// mounterSockets are the sockets that a mounter listens on.
type mounterSockets struct{ control, sessions string }

func mounterCommand() *cobra.Command {
	var sockets mounterSockets
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
requests under way finish; a second one ends it at once.

A virtio device has one owner, the mounter. With --sessions-listen a controller on the same node reaches
its share through the mounter's session, and so does whatever speaks 9P2000.L on a unix socket: what is
attached there is the URL of the share, for root and the mounter's own user alone.`,
		Example: `  csi-9p mounter --listen unix:///run/csi-9p/mounter.sock
  csi-9p mounter --sessions-listen unix:///run/csi-9p/sessions.sock`,
		Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runMounter(cmd.Context(), sockets, web, tls, options)
		},
	}
	cmd.Flags().StringVar(&sockets.control, "listen", "unix:///run/csi-9p/mounter.sock", "control socket, for root and this user alone")
	cmd.Flags().StringVar(&sockets.sessions, "sessions-listen", "", "unix socket to speak 9P on for this mounter's sessions, for root and this user alone (default: none)")
	web.add(cmd.Flags())
	tls.add(cmd.Flags(), "for tls:// without a Secret")
	addIOURing(cmd.Flags(), &options.IOURing)
	addUnsafeDMA(cmd.Flags(), &options.AllowUnsafeDMA)
	return cmd
}

func runMounter(ctx context.Context, sockets mounterSockets, flags httpFlags, tls tlsFlags, options mounter.Options) (err error) {
	if options.IOURing, err = settleIOURing(ctx, options.IOURing); err != nil {
		return err
	}
	control, err := mounter.SocketPath(sockets.control)
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
	return serveMounter(ctx, sockets, web, &volumes)
}

// serveMounter serves on the sockets until ctx ends, and then closes the volumes.
func serveMounter(ctx context.Context, sockets mounterSockets, web *httpd.Server, volumes *mounter.Volumes) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	control, err := mounter.Listen(ctx, sockets.control)
	if err != nil {
		return err
	}
	defer control.Close()
	var lending errgroup.Group
	if sockets.sessions != "" {
		sessions, err := mounter.Listen(ctx, sockets.sessions)
		if err != nil {
			return err
		}
		lending.Go(func() error { defer cancel(); return mounter.ServeSessions(ctx, sessions, volumes) })
	}
	klog.FromContext(ctx).Info("Mounter is ready", "listen", sockets.control, "sessionsListen", sockets.sessions, "version", version())
	err = beside(ctx, web, func(ctx context.Context) error { return mounter.Serve(ctx, control, volumes) })
	cancel()
	stop, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), mounterStop)
	defer cancelStop()
	err = errors.Join(err, volumes.Close(stop))
	return errors.Join(err, lending.Wait()) // which waits for what the volumes' sessions have under way
}
