package node

import (
	"context"
	"path/filepath"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"google.golang.org/grpc/codes"
)

// statsTimeout bounds the question to the server.
const statsTimeout = 3 * time.Second

// NodeGetVolumeStats implements csi.NodeServer. The figures come from the
// mounter, which asks the server; the mount is not touched.
func (s *Service) NodeGetVolumeStats(ctx context.Context, req *csi.NodeGetVolumeStatsRequest) (*csi.NodeGetVolumeStatsResponse, error) {
	if err := s.checkMounted(req.GetVolumeId(), req.GetVolumePath()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	if kernel, err := s.ofKernel(req.GetVolumeId()); kernel || err != nil {
		return s.kernelStats(ctx, req.GetVolumeId(), err)
	}
	usage, err := s.options.Mounter.Stats(ctx, req.GetVolumeId())
	if err != nil {
		return nil, failed(err)
	}
	response := &csi.NodeGetVolumeStatsResponse{Usage: []*csi.VolumeUsage{counts(csi.VolumeUsage_BYTES, usage.Bytes)}}
	if usage.Inodes != (mounter.Counts{}) {
		response.Usage = append(response.Usage, counts(csi.VolumeUsage_INODES, usage.Inodes))
	}
	return response, nil
}

func counts(unit csi.VolumeUsage_Unit, c mounter.Counts) *csi.VolumeUsage {
	return &csi.VolumeUsage{Unit: unit, Total: c.Total, Available: c.Available, Used: c.Used}
}

// checkMounted checks that the volume is mounted at path.
func (s *Service) checkMounted(id, path string) error {
	if err := checkVolumeID(id); err != nil {
		return err
	}
	if path != "" && !filepath.IsAbs(path) {
		return notMounted(id, path) // a relative path is nowhere, rather than wrong: csi-sanity asks with one
	}
	path, err := checkPath("volume_path", path)
	if err != nil {
		return err
	}
	table, err := mountpoint.Table()
	if err != nil {
		return local(err)
	}
	m, mounted := topmost(table, path)
	if owner, ours := s.volumeOf(table, m); !mounted || !ours || owner != id {
		return notMounted(id, path)
	}
	return nil
}

func notMounted(id, path string) error {
	return driver.Errorf(codes.NotFound, "volume %s is not mounted at %s", id, path)
}
