package controller

import (
	"context"
	"errors"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/record"
	"github.com/csi-9p/csi-9p/driver/volume"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

// ControllerExpandVolume implements csi.ControllerServer. A volume's size is
// what its record says; the node has to hear of it to report it.
func (c *Controller) ControllerExpandVolume(ctx context.Context, request *csi.ControllerExpandVolumeRequest) (*csi.ControllerExpandVolumeResponse, error) {
	if request.GetVolumeId() == "" {
		return nil, driver.Errorf(codes.InvalidArgument, "the volume id is missing")
	}
	if request.GetCapacityRange() == nil {
		return nil, driver.Errorf(codes.InvalidArgument, "the capacity range is missing")
	}
	if capability := request.GetVolumeCapability(); capability != nil {
		if err := checkCapabilities([]*csi.VolumeCapability{capability}); err != nil {
			return nil, err
		}
	}
	asked, err := capacityOf(request.GetCapacityRange())
	if err != nil {
		return nil, err
	}
	id, err := volume.ParseID(request.GetVolumeId())
	if err != nil {
		return nil, err
	}
	unlock, err := c.locks.TryLock(id.UUID.String())
	if err != nil {
		return nil, err
	}
	defer unlock()
	var capacity int64
	err = c.withRecord(ctx, id, func(store *record.Store, r *record.Record) (err error) {
		capacity, err = expand(ctx, store, r, asked, request.GetCapacityRange().GetLimitBytes())
		return err
	})
	if err != nil {
		return nil, err
	}
	return &csi.ControllerExpandVolumeResponse{CapacityBytes: capacity, NodeExpansionRequired: true}, nil
}

// expand raises a record's capacity. A volume that is large enough stays.
func expand(ctx context.Context, store *record.Store, r *record.Record, asked, limit int64) (int64, error) {
	if r.CapacityBytes >= asked && r.CapacityBytes > 0 {
		if limit != 0 && r.CapacityBytes > limit {
			return 0, driver.Errorf(codes.OutOfRange, "volume %s has %d bytes already, more than the limit of %d; volumes do not shrink", r.Name, r.CapacityBytes, limit)
		}
		return r.CapacityBytes, nil
	}
	r.CapacityBytes = asked
	return asked, store.Put(ctx, r)
}

// withRecord calls do with the record of a volume that is ready. A volume that
// does not exist is codes.NotFound.
func (c *Controller) withRecord(ctx context.Context, id volume.ID, do func(*record.Store, *record.Record) error) error {
	tree, err := c.attach(ctx, roadOf(id))
	if err != nil {
		return err
	}
	defer tree.release()
	store, err := record.Open(ctx, tree.root)
	if err != nil {
		return notFound(id, err)
	}
	defer store.Close()
	r, err := store.Get(ctx, id.UUID)
	if err != nil {
		return notFound(id, err)
	}
	if r.State != record.Ready {
		return driver.Errorf(codes.Aborted, "volume %s is %s; try again", id, r.State)
	}
	return do(store, r)
}

// notFound says that a volume does not exist where a file does not.
func notFound(id volume.ID, err error) error {
	if errors.Is(err, unix.ENOENT) {
		return driver.Errorf(codes.NotFound, "volume %s does not exist", id)
	}
	return err
}
