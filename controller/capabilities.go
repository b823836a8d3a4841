package controller

import (
	"context"
	"fmt"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"google.golang.org/grpc/codes"
)

// ControllerGetCapabilities implements csi.ControllerServer.
func (c *Controller) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	capabilities := []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_LIST_VOLUMES,
		csi.ControllerServiceCapability_RPC_GET_CAPACITY,
		csi.ControllerServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	}
	if !c.onANode() { // csi-resizer knows no node deployment
		capabilities = append(capabilities, csi.ControllerServiceCapability_RPC_EXPAND_VOLUME)
	}
	response := new(csi.ControllerGetCapabilitiesResponse)
	for _, capability := range capabilities {
		response.Capabilities = append(response.Capabilities, &csi.ControllerServiceCapability{
			Type: &csi.ControllerServiceCapability_Rpc{Rpc: &csi.ControllerServiceCapability_RPC{Type: capability}},
		})
	}
	return response, nil
}

// checkCapabilities reports the first way of using a volume that no volume of
// this driver can be used in.
func checkCapabilities(capabilities []*csi.VolumeCapability) error {
	if len(capabilities) == 0 {
		return driver.Errorf(codes.InvalidArgument, "volume capabilities are missing")
	}
	for _, capability := range capabilities {
		if problem := unsupported(capability); problem != "" {
			return driver.Errorf(codes.InvalidArgument, "%s", problem)
		}
	}
	return nil
}

// unsupported says why a capability cannot be had; empty: it can.
func unsupported(capability *csi.VolumeCapability) string {
	mount := capability.GetMount()
	switch {
	case capability.GetBlock() != nil:
		return "block volumes are not supported: a volume is a directory; use volumeMode: Filesystem"
	case mount == nil:
		return "the volume capability has no access type; ask for a mount"
	case mount.GetFsType() != "" && mount.GetFsType() != "9p":
		return fmt.Sprintf("fsType %q is not supported: the server has its own file system; leave fsType empty", mount.GetFsType())
	}
	mode := capability.GetAccessMode().GetMode()
	if _, known := csi.VolumeCapability_AccessMode_Mode_name[int32(mode)]; !known || mode == csi.VolumeCapability_AccessMode_UNKNOWN {
		return fmt.Sprintf("the access mode %v is not supported", mode)
	}
	return ""
}
