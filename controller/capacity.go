package controller

import (
	"context"
	"math"
	"math/bits"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/topology"
	"github.com/csi-9p/csi-9p/ninep"
)

// GetCapacity implements csi.ControllerServer: what the server has left on the
// share that the parameters name, or on all configured shares together.
func (c *Controller) GetCapacity(ctx context.Context, request *csi.GetCapacityRequest) (*csi.GetCapacityResponse, error) {
	for _, capability := range request.GetVolumeCapabilities() {
		if driver.CheckCapability(capability) != nil {
			return &csi.GetCapacityResponse{}, nil
		}
	}
	shares, err := c.sharesOf(request.GetParameters())
	if err != nil {
		return nil, err
	}
	var total uint64
	for _, p := range shares {
		available, err := c.available(ctx, p, request.GetAccessibleTopology())
		if err != nil {
			return nil, err
		}
		total = min(total+available, math.MaxInt64) // both are at most MaxInt64
	}
	return &csi.GetCapacityResponse{AvailableCapacity: int64(total)}, nil
}

// sharesOf returns the parameters of the share that values name; without any
// values, of the configured shares.
func (c *Controller) sharesOf(values map[string]string) ([]params.Parameters, error) {
	if len(values) > 0 {
		p, err := params.Parse(values)
		return []params.Parameters{p}, err
	}
	names, err := c.shares.Names()
	all := make([]params.Parameters, len(names))
	for i, name := range names {
		all[i].Share = name
	}
	return all, err
}

// available returns the bytes, at most MaxInt64, that a share has left for who
// is at a place; nil: for anybody.
func (c *Controller) available(ctx context.Context, p params.Parameters, place *csi.Topology) (uint64, error) {
	r, err := c.roadTo(p)
	if err != nil {
		return 0, err
	}
	tree, err := c.attachAgain(ctx, r)
	if err != nil {
		return 0, err
	}
	defer tree.release()
	if place != nil && c.onSomeNodes(p) {
		share, err := topology.Identify(ctx, tree.root)
		if err != nil || !topology.Has(place, topology.Of(share)) {
			return 0, tree.explain(err)
		}
	}
	statfs, err := tree.root.Statfs(ctx)
	if err != nil {
		return 0, tree.explain(err)
	}
	return availableBytes(statfs), nil
}

// availableBytes multiplies numbers of a server that is not to be trusted.
func availableBytes(s ninep.Statfs) uint64 {
	high, low := bits.Mul64(s.BlocksAvail, uint64(s.BlockSize))
	if high != 0 {
		return math.MaxInt64
	}
	return min(low, math.MaxInt64)
}
