package main

import (
	"context"
	"fmt"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/controller"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/shares"
	"github.com/csi-9p/csi-9p/driver/topology"
	"github.com/csi-9p/csi-9p/metrics"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"k8s.io/klog/v2"
)

// controllerFlags are the command line of the verb controller.
type controllerFlags struct {
	endpoint, name, config, nodeID string

	http     httpFlags
	tls      tlsFlags
	topology topologyFlags
}

func controllerCommand() *cobra.Command {
	var flags controllerFlags
	cmd := &cobra.Command{
		Use:   "controller --endpoint unix:///PATH [--config FILE]",
		Short: "Serve the CSI controller: make, list, resize and delete volumes",
		Long: `Serve the CSI Controller and Identity services on a unix socket.

The controller makes a directory on a share for each volume. It speaks 9P itself, so it mounts
nothing and needs no privilege, only a way to the servers. What it knows about a volume it keeps on
the share, below .csi-9p: it may be killed at any time, and several may run at once.

A StorageClass says where volumes go, by a server's URL:

  parameters:
    server: tcp://10.0.0.5:564
    aname: /tank

or by the name of a share in the file given by --config, whose address can change later:

  parameters:                       shares:
    share: tank                       tank:
                                        server: tcp://10.0.0.5:564
                                        aname: /tank
                                        controllerServer: tcp://tank.example:564   # optional

The file is read again when it changes; it may come later. Servers at tls:// are shown a certificate:
that of the Secret that the StorageClass names, else that of the share's own files, else that of
--tls-cert. SIGTERM lets the calls in flight finish.

The devices of a node, virtio://, are its mounter's. With --sessions the controller runs on each node,
beside the mounter and csi-provisioner --node-deployment, and reaches them through the mounter.`,
		Example: `  csi-9p controller --endpoint unix:///run/csi-9p/controller.sock
  csi-9p controller --endpoint unix:///csi/csi.sock --config /etc/csi-9p/shares.yaml --v=5
  csi-9p controller --sessions unix:///run/csi-9p/sessions.sock --nodeid "$(hostname)" --topology-share virtio://share0`,
		Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error { return serveController(cmd, flags) },
	}
	cmd.Flags().StringVar(&flags.endpoint, "endpoint", "unix:///run/csi-9p/controller.sock", "unix socket to serve on; a stale one is replaced")
	cmd.Flags().StringVar(&flags.name, "drivername", driver.DefaultName, "name that the driver registers under")
	cmd.Flags().StringVar(&flags.config, "config", "", "YAML file of shares; none: StorageClasses name servers by URL")
	cmd.Flags().StringVar(&flags.nodeID, "nodeid", "", "with --sessions: the node's name in the cluster")
	flags.topology.add(cmd.Flags(), "to reach virtio:// servers and those of --topology-share through")
	flags.http.add(cmd.Flags())
	flags.tls.add(cmd.Flags(), "for tls:// without a Secret")
	return cmd
}

func serveController(cmd *cobra.Command, flags controllerFlags) error {
	ctx := cmd.Context()
	config, err := shares.Open(flags.config)
	if err != nil {
		return err
	}
	certificates, err := flags.tls.source()
	if err != nil {
		return err
	}
	here, err := flags.node()
	if err != nil {
		return err
	}
	ready := func(context.Context) error { _, err := config.Names(); return err }
	registry := metrics.NewRegistry(version())
	web, err := flags.http.listen(ctx, registry, checks{healthy: answering(flags.endpoint), ready: ready})
	if err != nil {
		return err
	}
	defer web.Close()
	listener, err := driver.Listen(ctx, flags.endpoint)
	if err != nil {
		return err
	}
	service := controller.New(controller.Options{Shares: config, TLS: certificates, Mounter: here.Mounter, Topology: here.Shares})
	defer service.Close()
	registry.Register(metrics.Sessions(service.ServerStats))
	identity := driver.NewIdentity(driver.IdentityOptions{
		Name: flags.name, Version: version(), Ready: ready, Topology: len(here.Shares) > 0, NodeDeployment: flags.nodeID != "",
	})
	services := driver.Services{Observe: registry.Operations(flags.name), Register: func(r grpc.ServiceRegistrar) {
		csi.RegisterIdentityServer(r, identity)
		csi.RegisterControllerServer(r, service)
		if flags.nodeID != "" {
			csi.RegisterNodeServer(r, &controller.NodeInfo{NodeID: flags.nodeID, Topology: here})
		}
	}}
	klog.FromContext(ctx).Info("Serving the CSI controller", "driver", flags.name, "version", version(), "endpoint", listener.Addr().String())
	return beside(ctx, web, func(ctx context.Context) error { return driver.Serve(ctx, listener, services) })
}

// node is the node that the controller runs on, without a mounter if it runs anywhere.
func (f controllerFlags) node() (*topology.Node, error) {
	if (f.nodeID == "") != (f.topology.sessions == "") {
		return nil, fmt.Errorf("%w: --sessions and --nodeid are needed together: a controller on a node", errUsage)
	}
	return f.topology.node()
}
