package mounter

import (
	"context"
	"fmt"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/record"
	"github.com/csi-9p/csi-9p/driver/subdir"
	"github.com/csi-9p/csi-9p/driver/volume"
	"github.com/csi-9p/csi-9p/ninep"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"k8s.io/klog/v2"
)

// open binds the volume's root as its attachUid, and learns its size.
func (v *Volume) open(ctx context.Context) error {
	tree, err := v.attach(ctx, v.spec.Context.Parameters.AttachUID)
	if err != nil {
		return err
	}
	v.capacity.Store(capacityOf(ctx, tree, v.spec))
	v.root, err = v.directory(ctx, tree)
	return err
}

// directoryAs binds a fid to the volume's directory as that user.
func (v *Volume) directoryAs(ctx context.Context, uid uint32) (*ninep.Fid, error) {
	tree, err := v.attach(ctx, uid)
	if err != nil {
		return nil, err
	}
	return v.directory(ctx, tree)
}

// attach binds a fid to the tree that the volume is in.
func (v *Volume) attach(ctx context.Context, uid uint32) (*ninep.Fid, error) {
	p := v.spec.Context.Parameters
	tree, err := v.session.Attach(ctx, ninep.AttachOptions{
		UID: uid, Aname: v.aname, MaxPayload: int(p.Msize), Flow: v.flow,
		Threshold: max(1, int(p.ZeroCopyThreshold)), // 0 would be the transport's own
		ZeroCopy:  copying(p.ZeroCopy), Meter: &v.meter,
	})
	if err != nil {
		return nil, fmt.Errorf("attach %s as user %d: %w%s", v.aname, uid, err, driver.AttachAdvice(err))
	}
	if !tree.QID().IsDir() {
		tree.Drop()
		return nil, driver.Errorf(codes.FailedPrecondition, "attach %s: %w; aname has to name a directory", v.aname, unix.ENOTDIR)
	}
	return tree, nil
}

// copying is what the client makes of a volume's zeroCopy. That a transport is
// zero copy which has to be is the session's to see to.
func copying(z params.ZeroCopy) ninep.ZeroCopy {
	if z == params.ZeroCopyOff {
		return ninep.ZeroCopyOff
	}
	return ninep.ZeroCopyAuto
}

// directory walks from tree, which it returns or drops, to the volume's
// directory.
func (v *Volume) directory(ctx context.Context, tree *ninep.Fid) (*ninep.Fid, error) {
	names := v.spec.Context.Directory
	if len(names) == 0 {
		return tree, nil
	}
	defer tree.Drop()
	dir, err := tree.Walk(ctx, names...)
	if err == nil {
		err = checkDirectory(dir, v.spec)
	}
	if err != nil {
		return nil, driver.Errorf(driver.Code(err), "directory %s of %s: %w%s", subdir.Join(names), v.aname, err, v.directoryAdvice(err))
	}
	return dir, nil
}

// checkDirectory drops a fid that is not the volume's directory.
func checkDirectory(dir *ninep.Fid, spec Spec) (err error) {
	switch got := dir.QID(); {
	case !got.IsDir():
		err = unix.ENOTDIR
	case spec.Context.Provisioned && spec.sameServer() && spec.Context.QIDPath != got.Path:
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
