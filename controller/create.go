package controller

import (
	"context"
	"errors"
	"slices"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/record"
	"github.com/csi-9p/csi-9p/driver/topology"
	"github.com/csi-9p/csi-9p/ninep"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

// CreateVolume implements csi.ControllerServer. Every step can be repeated, so
// that a retry finishes what a killed controller began; a call that fails for
// good takes back what it did.
func (c *Controller) CreateVolume(ctx context.Context, request *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	want, err := c.parseCreate(request)
	if err != nil {
		return nil, err
	}
	id := want.road.id(want.record.Name)
	unlock, err := c.locks.TryLock(id.UUID.String())
	if err != nil {
		return nil, err
	}
	defer unlock()
	tree, err := c.attach(ctx, want.road, request.GetSecrets())
	if err != nil {
		return nil, err
	}
	defer tree.release()
	made, err := provision(ctx, tree.root, want)
	if err != nil {
		return nil, tree.explain(err)
	}
	described, err := volumeOf(id, made, want.at)
	if err != nil {
		return nil, err
	}
	return &csi.CreateVolumeResponse{Volume: described}, nil
}

// provision makes the volume on its share, or finds it made.
func provision(ctx context.Context, root *ninep.Fid, want *wanted) (*record.Record, error) {
	store, err := record.Make(ctx, root)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	if want.at, err = locate(ctx, store, want.onSomeNodes); err != nil {
		return nil, err
	}
	r, err := enter(ctx, store, want)
	if err != nil || r.State == record.Ready {
		return r, err
	}
	v := &onShare{root: root, store: store, record: r}
	if err := v.create(ctx); err != nil {
		return nil, v.failed(ctx, err)
	}
	return v.record, nil
}

// failed takes the volume back if the caller will not come again, and makes it
// come again if that fails: nobody else would take it back.
func (v *onShare) failed(ctx context.Context, err error) error {
	if !final(err) {
		return err
	}
	if left := v.abandon(ctx); left != nil {
		return driver.Errorf(codes.Aborted, "%w; taking back what was made: %w; try again", err, left)
	}
	return err
}

// enter writes the volume's record, or finds it written by an earlier call
// that asked for the same.
func enter(ctx context.Context, store *record.Store, want *wanted) (*record.Record, error) {
	r, err := store.Get(ctx, want.record.UUID)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, record.ErrEmpty) {
		if !topology.Allows(want.topology, want.at) {
			return nil, elsewhere(want.topology, want.at)
		}
		if err = store.Add(ctx, want.record); err == nil {
			return want.record, nil
		}
		if errors.Is(err, unix.EEXIST) { // another controller was faster
			r, err = store.Get(ctx, want.record.UUID)
		}
	}
	if err != nil {
		return nil, err
	}
	return r, want.compare(r)
}

// compare reports whether an existing volume is the one asked for.
func (w *wanted) compare(r *record.Record) error {
	existing, err := r.Parsed()
	if err != nil {
		return err
	}
	asked, err := w.record.Parsed()
	if err != nil {
		return err
	}
	switch {
	case r.State == record.Deleting:
		return driver.Errorf(codes.Aborted, "volume %s is being deleted; try again when DeleteVolume has finished", r.Name)
	case existing != asked || !slices.Equal(r.Directory, w.record.Directory):
		return driver.Errorf(codes.AlreadyExists, "volume %s exists with other parameters: %v, in %q", r.Name, r.Parameters, r.Directory)
	case !topology.Allows(w.topology, w.at):
		return driver.Errorf(codes.AlreadyExists, "volume %s exists: %w", r.Name, elsewhere(w.topology, w.at))
	case !fits(r.CapacityBytes, w.sizes):
		return driver.Errorf(codes.AlreadyExists, "volume %s exists with another capacity: %d bytes", r.Name, r.CapacityBytes)
	}
	return nil
}

// final reports whether the caller will take an error for an answer.
// external-provisioner tries the other codes again, and counts on the volume
// being made or taken back by that.
func final(err error) bool {
	switch driver.Code(err) {
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable, codes.Aborted:
		return false
	}
	return true
}
