package mounter

import (
	"context"
	"fmt"

	"github.com/csi-9p/csi-9p/driver/record"
	"github.com/csi-9p/csi-9p/driver/subdir"
	"github.com/csi-9p/csi-9p/driver/volume"
	"github.com/csi-9p/csi-9p/ninep"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

// directory attaches to the volume's tree as that user, binds a fid to the
// volume's directory, and returns the volume's size in bytes as well.
func (s *session) directory(ctx context.Context, aname string, spec Spec, uid uint32) (*ninep.Fid, int64, error) {
	p := spec.Context.Parameters
	tree, err := s.Attach(ctx, ninep.AttachOptions{UID: uid, Aname: aname, MaxPayload: int(p.Msize), MaxInFlight: p.MaxInFlight})
	if err != nil {
		return nil, 0, fmt.Errorf("attach %s as user %d: %w", aname, uid, err)
	}
	capacity := capacityOf(ctx, tree, spec)
	if len(spec.Context.Directory) == 0 {
		return tree, capacity, nil
	}
	defer tree.Drop()
	dir, err := tree.Walk(ctx, spec.Context.Directory...)
	if err == nil {
		err = checkDirectory(dir, spec)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("directory %s of %s: %w", subdir.Join(spec.Context.Directory), aname, err)
	}
	return dir, capacity, nil
}

// checkDirectory drops a fid that is not the volume's directory.
func checkDirectory(dir *ninep.Fid, spec Spec) (err error) {
	switch got := dir.QID(); {
	case !got.IsDir():
		err = unix.ENOTDIR
	case spec.Context.Provisioned && spec.Context.QIDPath != got.Path:
		err = fmt.Errorf("%w: qid %x, made as %x; somebody replaced it, or the server numbers its files anew",
			ErrOtherDirectory, got.Path, spec.Context.QIDPath)
	}
	if err != nil {
		dir.Drop()
	}
	return err
}

// capacityOf returns the volume's size as its record on the share has it now: a
// context keeps the size at creation, and the volume may have been expanded
// since. A volume written by hand has no record, and a user who may not read it
// is no reason not to mount.
func capacityOf(ctx context.Context, tree *ninep.Fid, spec Spec) int64 {
	known := spec.Context.CapacityBytes
	id, err := volume.ParseID(spec.VolumeID)
	if err != nil || !spec.Context.Provisioned {
		return known
	}
	store, err := record.Open(ctx, tree)
	if err != nil {
		klog.FromContext(ctx).V(2).Info("Cannot read the volume's record", "volume", spec.VolumeID, "reason", err.Error())
		return known
	}
	defer store.Close()
	found, err := store.Get(ctx, id.UUID)
	if err != nil {
		klog.FromContext(ctx).V(2).Info("Cannot read the volume's record", "volume", spec.VolumeID, "reason", err.Error())
		return known
	}
	return found.CapacityBytes
}
