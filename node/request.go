package node

import (
	"slices"

	"github.com/container-storage-interface/spec/lib/go/csi"
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

// checkCapability checks that a volume is to be what a share can be, and
// returns its mount options.
func checkCapability(c *csi.VolumeCapability) ([]string, error) {
	switch {
	case c == nil:
		return nil, invalid("volume_capability is missing")
	case c.GetBlock() != nil:
		return nil, invalid("a 9P share has no block devices; use volumeMode: Filesystem")
	case c.GetMount() == nil:
		return nil, invalid("volume_capability has no access type")
	case c.GetMount().GetFsType() != "":
		return nil, invalid("fsType %q: a share has the file system of its server; leave fsType out", c.GetMount().GetFsType())
	case c.GetAccessMode().GetMode() == csi.VolumeCapability_AccessMode_UNKNOWN:
		return nil, invalid("volume_capability has no access mode")
	}
	return c.GetMount().GetMountFlags(), nil
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
	options, err := checkCapability(c)
	if err != nil {
		return staging{}, err
	}
	context, generic, err := volume.ParseContext(req.GetVolumeContext(), options)
	if err != nil {
		return staging{}, failed(err)
	}
	if context.Ephemeral {
		return staging{}, invalid("volumes written inline in a pod are not served; make a PersistentVolumeClaim")
	}
	share, err := s.options.Shares.Resolve(context.Parameters)
	if err != nil {
		return staging{}, failed(err)
	}
	if err := context.Parameters.CheckEngine(share.Server); err != nil {
		return staging{}, failed(err)
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
