package controller

import (
	"context"

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
		if err := driver.CheckCapability(capability); err != nil {
			return err
		}
	}
	return nil
}
