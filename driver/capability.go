package driver

import (
	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
)

// fsType is the one that a volume may be asked for with, besides none.
const fsType = "9p"

// CheckCapability reports why no volume of this driver can be used as a capability says, in whatever call it comes:
// codes.InvalidArgument. Mount options are not looked at.
func CheckCapability(c *csi.VolumeCapability) error {
	mount, mode := c.GetMount(), c.GetAccessMode().GetMode()
	_, known := csi.VolumeCapability_AccessMode_Mode_name[int32(mode)]
	switch {
	case c == nil:
		return Errorf(codes.InvalidArgument, "volume_capability is missing")
	case c.GetBlock() != nil:
		return Errorf(codes.InvalidArgument, "a 9P share has no block devices; use volumeMode: Filesystem")
	case mount == nil:
		return Errorf(codes.InvalidArgument, "the volume capability has no access type; ask for a mount")
	case mount.GetFsType() != "" && mount.GetFsType() != fsType:
		return Errorf(codes.InvalidArgument, "fsType %q: a share has the file system of its server; leave fsType out", mount.GetFsType())
	case !known, mode == csi.VolumeCapability_AccessMode_UNKNOWN:
		return Errorf(codes.InvalidArgument, "the access mode %v is not supported", mode)
	}
	return nil
}
