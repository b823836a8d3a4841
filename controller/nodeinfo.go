package controller

import (
	"context"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver/topology"
)

// NodeInfo is what of the Node service a controller on a node has: csi-provisioner
// --node-deployment asks the socket of its controller which node it is on.
type NodeInfo struct {
	csi.UnimplementedNodeServer
	NodeID   string
	Topology *topology.Node
}

// NodeGetInfo implements csi.NodeServer.
func (n *NodeInfo) NodeGetInfo(ctx context.Context, _ *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	shares, err := n.Topology.Topology(ctx)
	if err != nil {
		return nil, err
	}
	return &csi.NodeGetInfoResponse{NodeId: n.NodeID, AccessibleTopology: shares}, nil
}
