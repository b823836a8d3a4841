package main

import (
	"fmt"

	"github.com/csi-9p/csi-9p/driver/topology"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/spf13/pflag"
)

// topologyFlags are the flags of the CSI services for shares that not every node has.
type topologyFlags struct {
	sessions string
	shares   []string
}

func (f *topologyFlags) add(flags *pflag.FlagSet, sessions string) {
	flags.StringVar(&f.sessions, "sessions", "", "socket of this node's mounter (its --sessions-listen), "+sessions)
	flags.StringArrayVar(&f.shares, "topology-share", nil, "server, such as virtio://share0, that not every node has: volumes on it are for the nodes that do; may be repeated")
}

// node is the node that the flags tell of.
func (f topologyFlags) node() (_ *topology.Node, err error) {
	n := new(topology.Node)
	if f.sessions != "" {
		if n.Mounter, err = mounter.SocketPath(f.sessions); err != nil {
			return nil, fmt.Errorf("%w: --sessions: %w", errUsage, err)
		}
	}
	if n.Shares, err = topology.ParseShares(f.shares); err != nil {
		return nil, fmt.Errorf("%w: --topology-share: %w", errUsage, err)
	}
	return n, nil
}
