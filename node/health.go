package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"google.golang.org/grpc/codes"
)

// Reasons of volumes and servers that are not well, for machines and for the CLI.
const (
	reasonReconnecting = "SessionReconnecting"
	reasonUnreachable  = "ServerUnreachable"
	reasonMounterAway  = "MounterUnreachable"
	reasonDeadMount    = "MountNotServed"
)

const (
	// healthTimeout bounds the question to the mounter, which asks no server.
	healthTimeout = 2 * time.Second
	// unreachableAfter is how long a session may be without its server before
	// the volume counts as inaccessible. Until then it is degraded: most
	// servers that restart are back by then, and what was asked meanwhile goes on.
	unreachableAfter = time.Minute
)

// NodeGetVolumeHealth implements csi.NodeServer. It is how the loss of a server
// under a running pod gets to the pod's status: no call of the CO's fails by it.
func (s *Service) NodeGetVolumeHealth(ctx context.Context, req *csi.NodeGetVolumeHealthRequest) (*csi.NodeGetVolumeHealthResponse, error) {
	id := req.GetVolumeId()
	if err := checkVolumeID(id); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	ill, err := s.illness(ctx, id)
	if err != nil {
		return nil, err
	}
	health := &csi.VolumeHealth{VolumeId: id}
	if ill != nil {
		health.HealthStatuses = append(health.HealthStatuses, ill)
	}
	return &csi.NodeGetVolumeHealthResponse{VolumeHealth: health}, nil
}

// illness is what is wrong with a volume on this node; nil: nothing.
func (s *Service) illness(ctx context.Context, id string) (*csi.VolumeHealth_VolumeHealthEntry, error) {
	status, err := s.options.Mounter.Status(ctx, id)
	switch {
	case errors.Is(err, mounter.ErrUnknownVolume):
		return s.notServed(ctx, id)
	case err != nil:
		return inaccessible(reasonMounterAway, failed(err).Error()), nil
	case status.Connected:
		return nil, nil
	}
	text := lostText(status)
	if time.Since(status.Since) >= unreachableAfter {
		return inaccessible(reasonUnreachable, text), nil
	}
	return entry(csi.VolumeHealthErrorType_DEGRADED, reasonReconnecting, text), nil
}

// notServed tells a volume whose mount nobody serves from one that is not here, or that the kernel's client serves.
func (s *Service) notServed(ctx context.Context, id string) (*csi.VolumeHealth_VolumeHealthEntry, error) {
	table, err := mountpoint.Table()
	if err != nil {
		return nil, local(err)
	}
	for _, m := range table {
		mounted, ours := s.volumeOf(table, m)
		if ours && mounted == id && m.FsType != fsType {
			return s.kernelIllness(ctx, id), nil
		}
		if ours && mounted == id {
			return inaccessible(reasonDeadMount, "the mounter that served the volume has ended: restart the pods that use it"), nil
		}
	}
	return nil, driver.Errorf(codes.NotFound, "volume %s is not mounted on this node", id)
}

// lostText says of a volume whose server is lost which one that is, and what
// becomes of the pods.
func lostText(v mounter.Status) string {
	text := fmt.Sprintf("server %s is lost since %s", v.Spec.Server, v.Since.UTC().Format(time.RFC3339))
	if v.Lost != "" {
		text += " (" + v.Lost + ")"
	}
	patience := v.Spec.Context.Parameters.ReconnectTimeout
	if patience == 0 {
		return text + "; pods wait for it: see whether it runs and this node can reach it"
	}
	return fmt.Sprintf("%s; pods wait for it for %v and then get EIO: see whether it runs and this node can reach it", text, patience)
}

func inaccessible(reason, message string) *csi.VolumeHealth_VolumeHealthEntry {
	return entry(csi.VolumeHealthErrorType_INACCESSIBLE, reason, message)
}

func entry(status csi.VolumeHealthErrorType, reason, message string) *csi.VolumeHealth_VolumeHealthEntry {
	return &csi.VolumeHealth_VolumeHealthEntry{Status: status, Reason: reason, Message: message}
}

// NodeGetStorageHealth implements csi.NodeServer: the mounter, and the servers
// of the volumes that are mounted here.
func (s *Service) NodeGetStorageHealth(ctx context.Context, _ *csi.NodeGetStorageHealthRequest) (*csi.NodeGetStorageHealthResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	volumes, err := s.options.Mounter.List(ctx)
	if err != nil {
		return storageHealth(reasonMounterAway, failed(err).Error()), nil
	}
	var lost []string
	for _, v := range volumes {
		if !v.Connected && time.Since(v.Since) >= unreachableAfter && !slices.Contains(lost, v.Spec.Server) {
			lost = append(lost, v.Spec.Server)
		}
	}
	if len(lost) == 0 {
		return &csi.NodeGetStorageHealthResponse{}, nil
	}
	slices.Sort(lost)
	return storageHealth(reasonUnreachable, "lost: "+strings.Join(lost, ", ")), nil
}

func storageHealth(reason, message string) *csi.NodeGetStorageHealthResponse {
	return &csi.NodeGetStorageHealthResponse{BackendHealth: []*csi.NodeGetStorageHealthResponse_StorageBackendHealth{{
		Status: csi.StorageHealthErrorType_STORAGE_UNREACHABLE, Reason: reason, Message: message,
	}}}
}
