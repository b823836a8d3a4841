package node

import (
	"context"
	"errors"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/node/mounter"
	"k8s.io/klog/v2"
)

// releaseWait is how long NodeUnstageVolume waits for the end of the mount,
// which comes when nobody holds it any more: longer than lostGrace, so that a
// server that went meanwhile counts as lost by then.
const releaseWait = 2500 * time.Millisecond

// NodeUnstageVolume implements csi.NodeServer. It detaches the mount and waits
// for the mounter to report its end, which is when every page is on the server.
// A process that still holds a file of it keeps it alive in spite of that: if
// the server lives, the volume counts as unstaged and is served until that
// process lets go; if the server is lost, its connection is aborted.
func (s *Service) NodeUnstageVolume(ctx context.Context, req *csi.NodeUnstageVolumeRequest) (*csi.NodeUnstageVolumeResponse, error) {
	id := req.GetVolumeId()
	path, unlock, err := s.lock(id, "staging_target_path", req.GetStagingTargetPath())
	if err != nil {
		return nil, err
	}
	defer unlock()
	m, mounted, err := s.mountOf(id, "staging_target_path", path)
	if err != nil {
		return nil, err
	}
	if kernel, err := s.ofKernel(id); kernel || err != nil {
		if err == nil {
			err = s.unstageKernel(ctx, id, path)
		}
		return &csi.NodeUnstageVolumeResponse{}, err
	}
	if err := s.detach(ctx, path, id); err != nil {
		return nil, err
	}
	if err := s.end(ctx, id, uint32(m.Minor), mounted); err != nil {
		return nil, err
	}
	return &csi.NodeUnstageVolumeResponse{}, nil
}

// end waits for the end of a mount that was detached. connection is known if
// this call detached it.
func (s *Service) end(ctx context.Context, id string, connection uint32, known bool) error {
	err := s.released(ctx, id)
	if errors.Is(err, mounter.ErrInUse) && known && s.lost(ctx, id) {
		s.abort(ctx, connection, id)
		err = s.released(ctx, id)
	}
	switch {
	case errors.Is(err, mounter.ErrInUse):
		klog.FromContext(ctx).Info("The volume is unstaged while a process still holds a file of it", "volume", id)
		return nil
	case errors.Is(err, mounter.ErrUnreachable):
		return nil // a mounter that is gone holds nothing
	}
	return failed(err)
}

func (s *Service) released(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, releaseWait)
	defer cancel()
	return s.options.Mounter.Release(ctx, id)
}
