package node

import (
	"context"

	"github.com/container-storage-interface/spec/lib/go/csi"
)

// NodeExpandVolume implements csi.NodeServer: the volume reports its new size
// from now on.
func (s *Service) NodeExpandVolume(ctx context.Context, req *csi.NodeExpandVolumeRequest) (*csi.NodeExpandVolumeResponse, error) {
	if err := s.checkMounted(req.GetVolumeId(), req.GetVolumePath()); err != nil {
		return nil, err
	}
	size := req.GetCapacityRange().GetRequiredBytes()
	if limit := req.GetCapacityRange().GetLimitBytes(); size < 0 || limit < 0 || (limit > 0 && size > limit) {
		return nil, invalid("capacity_range: required_bytes %d and limit_bytes %d contradict each other", size, limit)
	}
	unlock, err := s.locks.TryLock(req.GetVolumeId())
	if err != nil {
		return nil, err
	}
	defer unlock()
	if kernel, err := s.ofKernel(req.GetVolumeId()); kernel || err != nil {
		return &csi.NodeExpandVolumeResponse{CapacityBytes: size}, err // nothing shows the size
	}
	if err := s.renewMounted(ctx, req.GetVolumeId(), req.GetSecrets()); err != nil {
		return nil, err
	}
	if size == 0 {
		got, err := s.options.Mounter.Status(ctx, req.GetVolumeId())
		if err != nil {
			return nil, failed(err)
		}
		return &csi.NodeExpandVolumeResponse{CapacityBytes: got.Spec.Context.CapacityBytes}, nil
	}
	if err := s.options.Mounter.Resize(ctx, req.GetVolumeId(), size); err != nil {
		return nil, failed(err)
	}
	return &csi.NodeExpandVolumeResponse{CapacityBytes: size}, nil
}
