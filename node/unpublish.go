package node

import (
	"context"
	"errors"
	"os"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
)

// NodeUnpublishVolume implements csi.NodeServer: it detaches the volume from the
// target and removes the target's directory. A target without a mount, or
// without itself, is no error. A directory with something in it is one: what
// was written beneath a mount point is nobody's to delete.
func (s *Service) NodeUnpublishVolume(ctx context.Context, req *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	id := req.GetVolumeId()
	target, unlock, err := s.lock(id, "target_path", req.GetTargetPath())
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, _, err := s.mountOf(id, "target_path", target); err != nil {
		return nil, err
	}
	if err := s.detach(ctx, target, id); err != nil {
		return nil, err
	}
	if err := removeTarget(target); err != nil {
		return nil, err
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// removeTarget removes a directory where nothing is mounted any more.
func removeTarget(target string) error {
	err := unix.Rmdir(target)
	switch {
	case err == nil, errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST):
		return precondition("target_path %s holds files that are not on the volume; move them away", target)
	case errors.Is(err, unix.ENOTDIR):
		return precondition("target_path %s is not a directory", target)
	}
	return local(&os.PathError{Op: "rmdir", Path: target, Err: err})
}
