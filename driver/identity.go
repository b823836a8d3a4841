package driver

import (
	"context"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// DefaultName is the name that the driver registers under unless told otherwise.
const DefaultName = "csi-9p.dev"

// IdentityOptions say who a plugin is and what else it serves.
type IdentityOptions struct {
	Name    string // DefaultName if empty
	Version string // of the binary
	// Ready reports what the plugin needs and lacks, in a text that says what to
	// do; nil: nothing, ever. A server of volumes that is down is no reason: the
	// plugin would be restarted for it.
	Ready func(context.Context) error
	// Topology tells that a volume may be accessible from some nodes only.
	Topology bool
	// NodeDeployment tells that each node has a Controller service, for its own
	// volumes. Nobody expands those: csi-resizer asks a central one.
	NodeDeployment bool
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
	capabilities := []*csi.PluginCapability{service(csi.PluginCapability_Service_CONTROLLER_SERVICE)}
	if i.options.Topology {
		capabilities = append(capabilities, service(csi.PluginCapability_Service_VOLUME_ACCESSIBILITY_CONSTRAINTS))
	}
	if !i.options.NodeDeployment {
		capabilities = append(capabilities, &csi.PluginCapability{Type: &csi.PluginCapability_VolumeExpansion_{
			VolumeExpansion: &csi.PluginCapability_VolumeExpansion{Type: csi.PluginCapability_VolumeExpansion_ONLINE},
		}})
	}
	return &csi.GetPluginCapabilitiesResponse{Capabilities: capabilities}, nil
}

func service(t csi.PluginCapability_Service_Type) *csi.PluginCapability {
	return &csi.PluginCapability{Type: &csi.PluginCapability_Service_{Service: &csi.PluginCapability_Service{Type: t}}}
}

// Probe implements csi.IdentityServer. What is missing is codes.FailedPrecondition (CSI spec, "Probe Errors": missing
// required dependency) rather than ready=false, which has no room for saying what.
func (i *Identity) Probe(ctx context.Context, _ *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	if i.options.Ready != nil {
		if err := i.options.Ready(ctx); err != nil {
			return nil, Errorf(codes.FailedPrecondition, "not ready: %w", err)
		}
	}
	return &csi.ProbeResponse{Ready: wrapperspb.Bool(true)}, nil
}
