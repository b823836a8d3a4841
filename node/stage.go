package node

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/node/mounter"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"k8s.io/klog/v2"
)

const readOnlyFlag = unix.MS_RDONLY

const (
	// mountTimeout bounds the way to the server, so that the answer can say
	// what is wrong with it before the CO's patience ends.
	mountTimeout = 20 * time.Second
	// undoTimeout bounds letting go of what a failed call had prepared.
	undoTimeout = 3 * time.Second
)

// NodeStageVolume implements csi.NodeServer. It mounts the volume at the
// staging path, with the mounter serving the mount:
//
//  1. the mounter attaches and walks to the directory: what is wrong with the
//     server or the directory is found before anything is mounted;
//  2. /dev/fuse is opened and mounted;
//  3. the mounter takes the descriptor and answers once the mount is usable.
//
// A call that died between two steps leaves a mount that the mounter does not
// serve, or serves as asked; the next call replaces the one and finds the other.
func (s *Service) NodeStageVolume(ctx context.Context, req *csi.NodeStageVolumeRequest) (*csi.NodeStageVolumeResponse, error) {
	if err := checkVolumeID(req.GetVolumeId()); err != nil {
		return nil, err
	}
	path, err := checkPath("staging_target_path", req.GetStagingTargetPath())
	if err != nil {
		return nil, err
	}
	want, err := s.stagingOf(req.GetVolumeId(), path, req)
	if err != nil {
		return nil, err
	}
	unlock, err := s.locks.TryLock(req.GetVolumeId())
	if err != nil {
		return nil, err
	}
	defer unlock()
	stage := s.stage
	if want.byKernel() {
		stage = s.stageKernel
	}
	if err := stage(ctx, want); err != nil {
		return nil, err
	}
	return &csi.NodeStageVolumeResponse{}, nil
}

// stage mounts the volume unless it is mounted as wanted. The volume is locked.
func (s *Service) stage(ctx context.Context, want staging) error {
	_, mounted, err := s.mountOf(want.spec.VolumeID, "staging_target_path", want.path)
	if err != nil {
		return err
	}
	if !mounted {
		return s.mount(ctx, want)
	}
	got, served, err := s.served(ctx, want.spec.VolumeID)
	switch {
	case err != nil:
		return err
	case !served:
		return s.remount(ctx, want)
	case !got.Spec.Same(want.spec):
		return driver.Errorf(codes.AlreadyExists,
			"volume %s is staged at %s with other parameters, mount options or access mode; unstage it first", want.spec.VolumeID, want.path)
	}
	s.setLimits(ctx, want)
	return s.renew(ctx, want.spec.VolumeID, want.spec.TLS.Secret)
}

// served tells whether the mounter serves the volume, and as what.
func (s *Service) served(ctx context.Context, volumeID string) (mounter.Status, bool, error) {
	got, err := s.options.Mounter.Status(ctx, volumeID)
	if errors.Is(err, mounter.ErrUnknownVolume) {
		return got, false, nil
	}
	return got, err == nil && got.State == mounter.Serving, failed(err)
}

// remount replaces a mount that nobody serves.
func (s *Service) remount(ctx context.Context, want staging) error {
	klog.FromContext(ctx).Info("Replacing a mount that nobody serves", "volume", want.spec.VolumeID, "path", want.path)
	if err := s.detach(ctx, want.path, want.spec.VolumeID); err != nil {
		return err
	}
	return s.mount(ctx, want)
}

// mount makes the mount. When it fails nothing is left.
func (s *Service) mount(ctx context.Context, want staging) error {
	if err := checkDirectory("staging_target_path", want.path); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, mountTimeout)
	defer cancel()
	if err := s.options.Mounter.Prepare(ctx, want.spec); err != nil {
		return unproven(err)
	}
	dev, err := openDevice()
	if err != nil {
		s.release(ctx, want.spec.VolumeID)
		return precondition("%v", err)
	}
	defer dev.Close()
	if err := s.serve(ctx, dev, want); err != nil {
		s.undo(ctx, want)
		return err
	}
	s.setLimits(ctx, want)
	return nil
}

// serve mounts dev and has the mounter serve it.
func (s *Service) serve(ctx context.Context, dev *os.File, want staging) error {
	s.mounting.Lock()
	err := fuse.Mount(dev, want.path, fuse.MountOptions{
		Source: sourceOf(want.spec.VolumeID), Subtype: subtype,
		ReadOnly: want.spec.ReadOnly, Flags: want.flags,
		AllowOther: true, DefaultPermissions: want.spec.Context.Parameters.Access == params.AccessSingle,
	})
	s.mounting.Unlock()
	if err != nil {
		return local(err)
	}
	return failed(s.options.Mounter.Serve(ctx, want.spec.VolumeID, dev))
}

// setLimits tells the kernel how far to read ahead on the volume, and how much
// to write back. A failure is logged: the volume is slower, not wrong.
func (s *Service) setLimits(ctx context.Context, want staging) {
	m, mounted, err := mountAt(want.path)
	if err == nil && mounted {
		err = fuse.SetLimits(uint32(m.Minor), want.spec.Limits())
	}
	if err != nil {
		klog.FromContext(ctx).Error(err, "Cannot set how far the kernel reads ahead and writes back; the volume is slower for it", "volume", want.spec.VolumeID)
	}
}

// undo takes back what a failed call did. The caller's context may be over.
func (s *Service) undo(ctx context.Context, want staging) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if err := s.detach(ctx, want.path, want.spec.VolumeID); err != nil {
		klog.FromContext(ctx).Error(err, "Cannot unmount after a failed call", "volume", want.spec.VolumeID, "path", want.path)
	}
	s.release(ctx, want.spec.VolumeID)
}

// release drops a volume that is mounted nowhere from the mounter. A failure is
// logged: what is not dropped now is replaced by the next call, or expires.
func (s *Service) release(ctx context.Context, volumeID string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if err := s.options.Mounter.Release(ctx, volumeID); err != nil {
		klog.FromContext(ctx).Error(err, "Cannot release the volume after a failed call", "volume", volumeID)
	}
}

// checkDirectory checks that a path where nothing is mounted is a directory.
func checkDirectory(field, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return precondition("%s %s does not exist; the CO makes it", field, path)
	case err != nil:
		return local(err)
	case !info.IsDir():
		return invalid("%s %s is not a directory but %s", field, path, info.Mode().Type())
	}
	return nil
}
