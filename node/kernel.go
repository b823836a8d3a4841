package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/v9fs"
	"github.com/csi-9p/csi-9p/transport/dial"
	"google.golang.org/grpc/codes"
)

// bindTimeout bounds a bind of a volume of the kernel's client, which may look at the server.
const bindTimeout = 10 * time.Second

// byKernel tells whether the kernel's own 9P client mounts the volume.
func (w staging) byKernel() bool { return w.spec.Context.Parameters.Engine == params.EngineKernel }

// ofKernel tells whether the kernel's client has mounted the volume.
func (s *Service) ofKernel(id string) (bool, error) {
	if s.options.Kernel == nil {
		return false, nil
	}
	has, err := s.options.Kernel.Has(id)
	return has, local(err)
}

// stageKernel mounts the volume by the kernel's client, unless it is mounted. The volume is locked. A server on a socket is asked for
// the volume's directory first, by the mounter and its client: what is wrong with either is found before a system call waits for it.
func (s *Service) stageKernel(ctx context.Context, want staging) error {
	id := want.spec.VolumeID
	if s.options.Kernel == nil {
		return precondition("engine kernel: the node service was started without --kernel-mounts")
	}
	m, mounted, err := s.mountOf(id, "staging_target_path", want.path)
	switch {
	case err != nil:
		return err
	case mounted && readOnly(m) != want.spec.ReadOnly:
		return driver.Errorf(codes.AlreadyExists, "volume %s is staged at %s with readonly=%t; unstage it first", id, want.path, readOnly(m))
	case mounted:
		return nil
	}
	if err := checkDirectory("staging_target_path", want.path); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, mountTimeout)
	defer cancel()
	if want.server.Scheme != dial.Virtio {
		if err := s.options.Mounter.Prepare(ctx, want.spec); err != nil {
			return failed(err)
		}
		s.release(ctx, id)
	}
	volume, err := kernelVolume(ctx, want)
	if err != nil {
		return failed(err)
	}
	if err := s.options.Kernel.Stage(ctx, volume, want.path); err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		return errors.Join(localUnlessCoded(err), s.options.Kernel.Unstage(undo, id, want.path))
	}
	return nil
}

// kernelVolume is the volume in the terms of the kernel's client.
func kernelVolume(ctx context.Context, want staging) (v9fs.Volume, error) {
	p := want.spec.Context.Parameters
	device, options, err := v9fs.Options(ctx, want.server, p, want.spec.Cache())
	if err != nil {
		return v9fs.Volume{}, err
	}
	flags := want.generic
	if want.spec.ReadOnly && !slices.Contains(flags, "ro") {
		flags = append(slices.Clone(flags), "ro")
	}
	return v9fs.Volume{
		ID: want.spec.VolumeID, Server: want.server, Directory: want.spec.Context.Directory,
		Device: device, Options: options, Flags: flags, ReadAhead: p.ReadAhead,
	}, nil
}

// unstageKernel takes the volume down.
func (s *Service) unstageKernel(ctx context.Context, id, path string) error {
	return localUnlessCoded(s.options.Kernel.Unstage(ctx, id, path))
}

// bindStaged binds a staged volume to its target. Where the kernel's client serves it, the kernel may look at the server for that,
// which nobody waits for.
func (s *Service) bindStaged(ctx context.Context, want publication, options []string) error {
	bind := func() error { return s.binds.Mount(want.path, want.target, "", options) }
	if !want.byKernel() {
		return bind()
	}
	ctx, cancel := context.WithTimeout(ctx, bindTimeout)
	defer cancel()
	return v9fs.Within(ctx, "binding to "+want.target, bind)
}

// kernelStats are those of the share, which the kernel's client shows as the volume's.
func (s *Service) kernelStats(ctx context.Context, id string, err error) (*csi.NodeGetVolumeStatsResponse, error) {
	if err != nil {
		return nil, err
	}
	of, err := s.options.Kernel.Statfs(ctx, id)
	if err != nil {
		return nil, err
	}
	block := int64(of.BlockSize)
	usage := []*csi.VolumeUsage{counts(csi.VolumeUsage_BYTES, mounter.Counts{
		Total: int64(of.Blocks) * block, Available: int64(of.BlocksAvail) * block, Used: int64(of.Blocks-of.BlocksFree) * block,
	})}
	if of.Files > 0 {
		usage = append(usage, counts(csi.VolumeUsage_INODES, mounter.Counts{
			Total: int64(of.Files), Available: int64(of.FilesFree), Used: int64(of.Files - of.FilesFree),
		}))
	}
	return &csi.NodeGetVolumeStatsResponse{Usage: usage}, nil
}

// kernelIllness is what is wrong with a volume of the kernel's client, as far as its server tells. Whether the kernel has lost its
// connection to a server that is back is not to be seen from outside.
func (s *Service) kernelIllness(ctx context.Context, id string) *csi.VolumeHealth_VolumeHealthEntry {
	if err := s.options.Kernel.Health(ctx, id); err != nil {
		return inaccessible(reasonUnreachable, err.Error()+"; the kernel's client does not connect again: restart the pods that use the volume when the server is back")
	}
	return nil
}
