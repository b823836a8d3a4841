package controller

import (
	"context"
	"errors"
	"fmt"

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
	if sizes := request.GetCapacityRange(); sizes.GetRequiredBytes() == 0 && sizes.GetLimitBytes() == 0 {
		return nil, driver.Errorf(codes.InvalidArgument, "the capacity range is missing; set required_bytes")
	}
	if capability := request.GetVolumeCapability(); capability != nil {
		if err := driver.CheckCapability(capability); err != nil {
			return nil, err
		}
	}
	sizes := request.GetCapacityRange()
	asked, err := capacityOf(sizes)
	if err != nil {
		return nil, err
	}
	id, err := volume.ParseID(request.GetVolumeId())
	if err != nil {
		return nil, fmt.Errorf("%w; a volume that was written by hand has the size of its share", err)
	}
	unlock, err := c.locks.TryLock(id.UUID.String())
	if err != nil {
		return nil, err
	}
	defer unlock()
	var capacity int64
	err = c.withRecord(ctx, id, request.GetSecrets(), func(store *record.Store, r *record.Record) (err error) {
		if capacity, err = expanded(r, asked, sizes); err != nil || capacity == r.CapacityBytes {
			return err
		}
		r.CapacityBytes = capacity
		return (&onShare{store: store, record: r}).put(ctx)
	})
	if err != nil {
		return nil, err
	}
	return &csi.ControllerExpandVolumeResponse{CapacityBytes: capacity, NodeExpansionRequired: true}, nil
}

// expanded returns what a volume's capacity becomes. One that is large enough
// stays.
func expanded(r *record.Record, asked int64, sizes *csi.CapacityRange) (int64, error) {
	switch {
	case fits(r.CapacityBytes, sizes):
		return r.CapacityBytes, nil
	case r.CapacityBytes > asked:
		return 0, driver.Errorf(codes.OutOfRange, "volume %s has %d bytes already, more than the limit of %d; volumes do not shrink",
			r.Name, r.CapacityBytes, sizes.GetLimitBytes())
	}
	return asked, nil
}

// withRecord calls do with the record of a volume that is ready, which it goes to
// with the secrets of the call. A volume that does not exist is codes.NotFound.
func (c *Controller) withRecord(ctx context.Context, id volume.ID, secrets map[string]string, do func(*record.Store, *record.Record) error) error {
	tree, err := c.attach(ctx, roadOf(id), secrets)
	if err != nil {
		return err
	}
	defer tree.release()
	store, err := record.Open(ctx, tree.root)
	if err != nil {
		return tree.explain(notFound(id, err))
	}
	defer store.Close()
	r, err := store.Get(ctx, id.UUID)
	if err != nil {
		return tree.explain(notFound(id, err))
	}
	if r.State != record.Ready {
		return driver.Errorf(codes.Aborted, "volume %s is %s; try again", id, r.State)
	}
	return tree.explain(do(store, r))
}

// notFound says that a volume does not exist where a file does not.
func notFound(id volume.ID, err error) error {
	if errors.Is(err, unix.ENOENT) {
		return driver.Errorf(codes.NotFound, "volume %s does not exist", id)
	}
	return err
}
