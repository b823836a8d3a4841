package main

import (
	"context"
	"fmt"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/shares"
	"github.com/csi-9p/csi-9p/metrics"
	"github.com/csi-9p/csi-9p/node"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"github.com/csi-9p/csi-9p/node/v9fs"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"k8s.io/klog/v2"
)

// nodeFlags are the flags of csi-9p node.
type nodeFlags struct {
	endpoint, nodeID, mounter, driverName, config, kernelMounts string

	http     httpFlags
	topology topologyFlags
}

func nodeCommand() *cobra.Command {
	var flags nodeFlags
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Answer the kubelet: the CSI Node service",
		Long: `node stages and publishes volumes on this node: it mounts, binds and unmounts, and has the mounter
serve the mounts. It keeps no state and may be restarted at any time. It needs root, /dev/fuse and,
in a container, the kubelet's directory with Bidirectional mount propagation; without the first two it
does not start.

Nothing in it waits for a server: a dead one delays neither the unmounting of a volume nor the
kubelet's questions. With --topology-share the kubelet is told which of these servers the node has, by
a label of each share's own, for pods to be placed there; until each has been asked once the driver
does not register.`,
		Example: `  csi-9p node --endpoint unix:///run/csi-9p/node.sock --nodeid "$(hostname)" --mounter unix:///run/csi-9p/mounter.sock`,
		Args:    positional(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runNode(cmd.Context(), flags) },
	}
	cmd.Flags().StringVar(&flags.endpoint, "endpoint", "unix:///run/csi-9p/node.sock", "where the kubelet calls")
	cmd.Flags().StringVar(&flags.nodeID, "nodeid", "", "the node's name in the cluster (required)")
	cmd.Flags().StringVar(&flags.mounter, "mounter", "unix:///run/csi-9p/mounter.sock", "control socket of this node's mounter")
	cmd.Flags().StringVar(&flags.driverName, "drivername", driver.DefaultName, "name that the driver registers under")
	cmd.Flags().StringVar(&flags.config, "config", "", "YAML file with the shares that volumes name by the parameter share")
	cmd.Flags().StringVar(&flags.kernelMounts, "kernel-mounts", "", "directory for the mounts of volumes with engine: kernel, below the kubelet's; without it there are none")
	flags.topology.add(cmd.Flags(), "to ask those of --topology-share through")
	flags.http.add(cmd.Flags())
	return cmd
}

func runNode(ctx context.Context, flags nodeFlags) error {
	options, err := flags.options()
	if err != nil {
		return err
	}
	service, err := node.New(options)
	if err != nil {
		return fmt.Errorf("%w: --nodeid: %w", errUsage, err)
	}
	registry := metrics.NewRegistry(version())
	registry.Register(metrics.Node(ctx, service))
	web, err := flags.http.listen(ctx, registry, checks{healthy: answering(flags.endpoint), ready: service.Ready})
	if err != nil {
		return err
	}
	defer web.Close()
	listener, err := driver.Listen(ctx, flags.endpoint)
	if err != nil {
		return err
	}
	klog.FromContext(ctx).Info("Node service is ready", "endpoint", flags.endpoint, "node", flags.nodeID, "version", version())
	identity := driver.NewIdentity(driver.IdentityOptions{Name: flags.driverName, Version: version(), Ready: service.Ready, Topology: len(options.Topology.Shares) > 0})
	services := driver.Services{Observe: registry.Operations(flags.driverName), Register: func(r grpc.ServiceRegistrar) {
		csi.RegisterIdentityServer(r, identity)
		csi.RegisterNodeServer(r, service)
	}}
	return beside(ctx, web, func(ctx context.Context) error { return driver.Serve(ctx, listener, services) })
}

// options checks the flags, and what this process may do.
func (f nodeFlags) options() (o node.Options, err error) {
	if f.nodeID == "" {
		return o, fmt.Errorf("%w: --nodeid is missing", errUsage)
	}
	control, err := mounter.SocketPath(f.mounter)
	if err != nil {
		return o, fmt.Errorf("%w: --mounter: %w", errUsage, err)
	}
	if err := node.Check(); err != nil {
		return o, err
	}
	o = node.Options{Name: f.driverName, NodeID: f.nodeID, Mounter: &mounter.Client{Path: control}}
	if o.Shares, err = shares.Open(f.config); err != nil {
		return o, err
	}
	if o.Topology, err = f.topology.node(); err != nil {
		return o, err
	}
	if len(f.topology.shares) > 0 && f.topology.sessions == "" {
		return o, fmt.Errorf("%w: --topology-share needs --sessions, to ask the shares who they are", errUsage)
	}
	if f.kernelMounts != "" {
		if o.Kernel, err = v9fs.New(f.kernelMounts, mountpoint.Mounter{}); err != nil {
			return o, fmt.Errorf("%w: --kernel-mounts: %w", errUsage, err)
		}
	}
	return o, nil
}
