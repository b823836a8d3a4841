package node

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"google.golang.org/grpc/codes"
	mount "k8s.io/mount-utils"
)

// targetMode are the permissions of a target directory. What is mounted on it
// covers them.
const targetMode = 0o750

// publication is what NodePublishVolume was asked for.
type publication struct {
	staging
	target       string
	readOnly     bool
	singleWriter bool
}

// NodePublishVolume implements csi.NodeServer: it binds the staged volume to the
// target. A staged mount whose mounter has been restarted is replaced first, so
// that a new pod does not get a dead one.
func (s *Service) NodePublishVolume(ctx context.Context, req *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	want, err := s.publicationOf(req)
	if err != nil {
		return nil, err
	}
	unlock, err := s.locks.TryLock(req.GetVolumeId())
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := s.revive(ctx, want.staging); err != nil {
		return nil, err
	}
	if err := s.publish(ctx, want); err != nil {
		return nil, err
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

// revive makes sure that what is staged is served.
func (s *Service) revive(ctx context.Context, want staging) error {
	_, mounted, err := s.mountOf(want.spec.VolumeID, "staging_target_path", want.path)
	if err != nil {
		return err
	}
	if !mounted {
		return precondition("volume %s is not staged at %s; call NodeStageVolume first", want.spec.VolumeID, want.path)
	}
	if want.byKernel() {
		return nil
	}
	_, served, err := s.served(ctx, want.spec.VolumeID)
	if err != nil {
		return err
	}
	if served {
		return s.renew(ctx, want.spec.VolumeID, want.spec.TLS.Secret)
	}
	return s.remount(ctx, want)
}

// publicationOf checks a request.
func (s *Service) publicationOf(req *csi.NodePublishVolumeRequest) (publication, error) {
	if err := checkVolumeID(req.GetVolumeId()); err != nil {
		return publication{}, err
	}
	target, err := checkPath("target_path", req.GetTargetPath())
	if err != nil {
		return publication{}, err
	}
	if req.GetVolumeCapability() == nil {
		return publication{}, invalid("volume_capability is missing")
	}
	if req.GetStagingTargetPath() == "" {
		return publication{}, precondition("staging_target_path is missing: a volume is staged before it is published")
	}
	path, err := checkPath("staging_target_path", req.GetStagingTargetPath())
	if err != nil {
		return publication{}, err
	}
	want, err := s.stagingOf(req.GetVolumeId(), path, req)
	if err != nil {
		return publication{}, err
	}
	mode := req.GetVolumeCapability().GetAccessMode().GetMode()
	return publication{
		staging: want, target: target,
		readOnly:     req.GetReadonly() || want.spec.ReadOnly,
		singleWriter: mode == csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER,
	}, nil
}

// publish binds the volume, which is staged, to its target. The volume is locked.
func (s *Service) publish(ctx context.Context, want publication) error {
	staged, _, err := mountAt(want.path)
	if err != nil {
		return err
	}
	done, err := s.published(ctx, staged, want)
	if done || err != nil {
		return err
	}
	if want.singleWriter {
		others, err := s.othersOf(staged, want.path, want.target)
		if err != nil {
			return err
		}
		if len(others) > 0 {
			return precondition("volume %s is for a single writer and published at %s already", want.spec.VolumeID, strings.Join(others, ", "))
		}
	}
	return s.bind(ctx, want)
}

// published tells whether the target has the volume already, as wanted. A mount
// of it from before its staging was replaced is dead and taken away.
func (s *Service) published(ctx context.Context, staged mount.MountInfo, want publication) (bool, error) {
	id := want.spec.VolumeID
	m, mounted, err := s.mountOf(id, "target_path", want.target)
	switch {
	case err != nil || !mounted:
		return false, err
	case !mountpoint.SameFilesystem(m, staged):
		return false, s.detach(ctx, want.target, id)
	case readOnly(m) != want.readOnly:
		return false, driver.Errorf(codes.AlreadyExists,
			"volume %s is published at %s with readonly=%t; unpublish it first", id, want.target, readOnly(m))
	}
	return true, nil
}

// bind makes the target and the mount, or neither.
func (s *Service) bind(ctx context.Context, want publication) error {
	made := true
	if err := os.Mkdir(want.target, targetMode); errors.Is(err, os.ErrExist) {
		made = false
		if err := checkDirectory("target_path", want.target); err != nil {
			return err
		}
	} else if errors.Is(err, os.ErrNotExist) {
		return precondition("the parent directory of target_path %s does not exist; the CO makes it", want.target)
	} else if err != nil {
		return local(err)
	}
	options := []string{"bind"}
	if want.readOnly {
		options = append(options, "ro")
	}
	err := s.bindStaged(ctx, want, options)
	if err != nil && made {
		err = errors.Join(err, os.Remove(want.target))
	}
	return localUnlessCoded(err)
}
