package node

import (
	"slices"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/shares"
	"github.com/csi-9p/csi-9p/driver/volume"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"github.com/csi-9p/csi-9p/transport/dial"
)

// staging is what NodeStageVolume was asked for.
type staging struct {
	spec    mounter.Spec
	server  dial.URL // of spec
	path    string
	generic []string // options of mount(8)
	flags   uintptr  // the same as MS_* for mount(2)
}

// readers are the access modes that allow no writing.
var readers = []csi.VolumeCapability_AccessMode_Mode{
	csi.VolumeCapability_AccessMode_SINGLE_NODE_READER_ONLY,
	csi.VolumeCapability_AccessMode_MULTI_NODE_READER_ONLY,
}

// checkVolumeID checks the id that every call but two has.
func checkVolumeID(id string) error {
	if id == "" {
		return invalid("volume_id is missing")
	}
	if len(id) > volume.MaxID {
		return invalid("volume_id has %d bytes, more than %d", len(id), volume.MaxID)
	}
	return nil
}

// lock checks the volume's id and a path that a call named, and locks the volume.
// unlock is to be called once.
func (s *Service) lock(id, field, path string) (clean string, unlock func(), err error) {
	if err := checkVolumeID(id); err != nil {
		return "", nil, err
	}
	if clean, err = checkPath(field, path); err != nil {
		return "", nil, err
	}
	unlock, err = s.locks.TryLock(id)
	return clean, unlock, err
}

// stagingRequest is what NodeStageVolume and NodePublishVolume have in common.
type stagingRequest interface {
	GetVolumeCapability() *csi.VolumeCapability
	GetVolumeContext() map[string]string
	GetSecrets() map[string]string
}

// stagingOf reads what is to be mounted at path from the fields that
// NodeStageVolume and NodePublishVolume share.
func (s *Service) stagingOf(id, path string, req stagingRequest) (staging, error) {
	c := req.GetVolumeCapability()
	if err := driver.CheckCapability(c); err != nil {
		return staging{}, err
	}
	context, generic, err := volume.ParseContext(req.GetVolumeContext(), c.GetMount().GetMountFlags())
	if err != nil {
		return staging{}, failed(err)
	}
	share, err := s.shareOf(context)
	if err != nil {
		return staging{}, err
	}
	credentials, err := credentialsFor(share, req.GetSecrets())
	if err != nil {
		return staging{}, err
	}
	flags, err := mountpoint.Flags(generic)
	if err != nil {
		return staging{}, invalid("mount options: %v", err)
	}
	return staging{
		spec: mounter.Spec{
			VolumeID:   id,
			Server:     share.Server.String(),
			ReadOnly:   flags&readOnlyFlag != 0 || slices.Contains(readers, c.GetAccessMode().GetMode()),
			AccessMode: c.GetAccessMode().GetMode().String(),
			Context:    context,
			TLS:        credentials,
		},
		server:  share.Server,
		path:    path,
		generic: generic,
		flags:   flags,
	}, nil
}

// shareOf is where a volume is, which its engine can mount.
func (s *Service) shareOf(c volume.Context) (shares.Share, error) {
	if c.Ephemeral {
		return shares.Share{}, invalid("volumes written inline in a pod are not served; make a PersistentVolumeClaim")
	}
	share, err := s.options.Shares.Resolve(c.Parameters)
	if err == nil {
		err = c.Parameters.CheckEngine(share.Server)
	}
	return share, failed(err)
}
