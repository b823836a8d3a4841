package driver

import (
	"context"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// DefaultName is the name that the driver registers under unless told otherwise.
const DefaultName = "csi-9p.dev"

// IdentityOptions say who a plugin is and what else it serves.
type IdentityOptions struct {
	Name    string // DefaultName if empty
	Version string // of the binary
	// Ready tells whether calls can be served; nil: always. A server that is
	// down is no reason to answer false: the plugin would be restarted.
	Ready func(context.Context) bool
}

// Identity implements the CSI Identity service.
type Identity struct {
	csi.UnimplementedIdentityServer
	options IdentityOptions
}

// NewIdentity makes the Identity service of a plugin.
func NewIdentity(o IdentityOptions) *Identity {
	if o.Name == "" {
		o.Name = DefaultName
	}
	return &Identity{options: o}
}

// GetPluginInfo implements csi.IdentityServer.
func (i *Identity) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: i.options.Name, VendorVersion: i.options.Version}, nil
}

// GetPluginCapabilities implements csi.IdentityServer. It tells of the plugin as a whole, whichever of its sockets is
// asked: there is a Controller service, and volumes can be expanded while they are in use.
func (i *Identity) GetPluginCapabilities(context.Context, *csi.GetPluginCapabilitiesRequest) (*csi.GetPluginCapabilitiesResponse, error) {
	return &csi.GetPluginCapabilitiesResponse{Capabilities: []*csi.PluginCapability{
		{Type: &csi.PluginCapability_Service_{Service: &csi.PluginCapability_Service{
			Type: csi.PluginCapability_Service_CONTROLLER_SERVICE,
		}}},
		{Type: &csi.PluginCapability_VolumeExpansion_{VolumeExpansion: &csi.PluginCapability_VolumeExpansion{
			Type: csi.PluginCapability_VolumeExpansion_ONLINE,
		}}},
	}}, nil
}

// Probe implements csi.IdentityServer.
func (i *Identity) Probe(ctx context.Context, _ *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	ready := i.options.Ready == nil || i.options.Ready(ctx)
	return &csi.ProbeResponse{Ready: wrapperspb.Bool(ready)}, nil
}
