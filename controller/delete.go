package controller

import (
	"context"
	"errors"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/record"
	"github.com/csi-9p/csi-9p/driver/volume"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/google/uuid"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"k8s.io/klog/v2"
)

// DeleteVolume implements csi.ControllerServer. An id that is not ours is that
// of a static volume, which has nothing to delete.
func (c *Controller) DeleteVolume(ctx context.Context, request *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	if request.GetVolumeId() == "" {
		return nil, driver.Errorf(codes.InvalidArgument, "the volume id is missing")
	}
	id, err := volume.ParseID(request.GetVolumeId())
	if err != nil {
		return &csi.DeleteVolumeResponse{}, nil
	}
	unlock, err := c.locks.TryLock(id.UUID.String())
	if err != nil {
		return nil, err
	}
	defer unlock()
	tree, err := c.attach(ctx, roadOf(id), request.GetSecrets())
	if err != nil {
		return nil, err
	}
	defer tree.release()
	if err := deprovision(ctx, tree.root, id.UUID); err != nil {
		return nil, tree.explain(err)
	}
	return &csi.DeleteVolumeResponse{}, nil
}

// deprovision removes a volume from its share as its onDelete says.
func deprovision(ctx context.Context, root *ninep.Fid, id uuid.UUID) error {
	store, err := record.Open(ctx, root)
	if errors.Is(err, unix.ENOENT) {
		return nil // never had a volume
	}
	if err != nil {
		return err
	}
	defer store.Close()
	r, err := store.Get(ctx, id)
	if errors.Is(err, unix.ENOENT) {
		return purgeLeft(ctx, store, id)
	}
	if err != nil {
		return err
	}
	v := &onShare{root: root, store: store, record: r, qid: r.QID}
	if r.State == record.Creating {
		if err := v.findClaim(ctx); err != nil {
			return err
		}
	}
	p, err := r.Parsed()
	if err != nil {
		return err
	}
	if err := v.mark(ctx); err != nil {
		return err
	}
	if err := v.remove(ctx, p.OnDelete); err != nil {
		return err
	}
	if err := store.Sweep(ctx); err != nil { // the volume is gone all the same
		klog.FromContext(ctx).Error(err, "Cannot sweep up after killed controllers")
	}
	return nil
}

// mark notes that the volume is being deleted. On a full disk it goes unnoted:
// deleting is what the disk needs.
func (v *onShare) mark(ctx context.Context) error {
	if v.record.State != record.Ready {
		return nil
	}
	v.record.State = record.Deleting
	err := v.store.Put(ctx, v.record)
	if ninep.IsErrno(err, unix.ENOSPC, unix.EDQUOT) {
		return nil
	}
	return err
}

// findClaim learns from the claim what the record does not say yet.
func (v *onShare) findClaim(ctx context.Context) error {
	claim, err := v.store.Claimed(ctx, v.record.Directory, v.record.UUID)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, record.ErrClaimed) {
		return nil
	}
	if err == nil {
		v.qid = &claim.QID
	}
	return err
}

// purgeLeft removes what a volume without a record has left.
func purgeLeft(ctx context.Context, store *record.Store, id uuid.UUID) error {
	if err := purgeAside(ctx, store, id); err != nil {
		return err
	}
	return purge(ctx, store.Trash, id.String())
}
