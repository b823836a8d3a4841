package controller

import (
	"context"
	"math"
	"math/bits"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/ninep"
)

// GetCapacity implements csi.ControllerServer: what the server has left on the
// share that the parameters name, or on all configured shares together.
func (c *Controller) GetCapacity(ctx context.Context, request *csi.GetCapacityRequest) (*csi.GetCapacityResponse, error) {
	for _, capability := range request.GetVolumeCapabilities() {
		if unsupported(capability) != "" {
			return &csi.GetCapacityResponse{}, nil
		}
	}
	roads, err := c.roadsOf(request.GetParameters())
	if err != nil {
		return nil, err
	}
	var total uint64
	for _, r := range roads {
		available, err := c.available(ctx, r)
		if err != nil {
			return nil, err
		}
		total = min(total+available, math.MaxInt64) // both are at most MaxInt64
	}
	return &csi.GetCapacityResponse{AvailableCapacity: int64(total)}, nil
}

// roadsOf returns the road that parameters name; without any parameters, the
// roads to the configured shares.
func (c *Controller) roadsOf(values map[string]string) ([]road, error) {
	if len(values) == 0 {
		return c.configured()
	}
	p, err := params.Parse(values)
	if err != nil {
		return nil, err
	}
	r, err := c.roadTo(p)
	return []road{r}, err
}

// configured returns the roads to the configured shares.
func (c *Controller) configured() ([]road, error) {
	names, err := c.shares.Names()
	if err != nil {
		return nil, err
	}
	var roads []road
	for _, name := range names {
		roads = append(roads, road{share: name})
	}
	return roads, nil
}

// available returns the bytes left at the end of a road, at most MaxInt64.
func (c *Controller) available(ctx context.Context, r road) (uint64, error) {
	tree, err := c.attachAgain(ctx, r)
	if err != nil {
		return 0, err
	}
	defer tree.release()
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
