package controller

import (
	"context"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/record"
	"github.com/csi-9p/csi-9p/driver/topology"
	"google.golang.org/grpc/codes"
)

// onSomeNodes reports whether not every node has the share that p names. One
// that is not known is told of where it is attached.
func (c *Controller) onSomeNodes(p params.Parameters) bool {
	share, err := c.shares.Resolve(p)
	return err == nil && c.topology.Contain(share.Server)
}

// locate returns what a share's volumes are accessible from; nil: everywhere.
func locate(ctx context.Context, store *record.Store, onSomeNodes bool) (*csi.Topology, error) {
	if !onSomeNodes {
		return nil, nil
	}
	id, err := store.Share(ctx)
	if err != nil {
		return nil, err
	}
	return topology.Of(id), nil
}

// elsewhere refuses a volume that is to be where its share is not. The caller
// then chooses another node.
func elsewhere(r *csi.TopologyRequirement, at *csi.Topology) error {
	return driver.Errorf(codes.ResourceExhausted, "the share is %v, and the volume is to be accessible from one of %v; "+
		"let the StorageClass's allowedTopologies name the share, or take away what binds the pod to other nodes", at.GetSegments(), segments(r.GetRequisite()))
}

func segments(all []*csi.Topology) []map[string]string {
	maps := make([]map[string]string, len(all))
	for i, one := range all {
		maps[i] = one.GetSegments()
	}
	return maps
}
