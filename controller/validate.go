package controller

import (
	"context"
	"fmt"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/record"
	"github.com/csi-9p/csi-9p/driver/volume"
	"google.golang.org/grpc/codes"
)

// ValidateVolumeCapabilities implements csi.ControllerServer.
func (c *Controller) ValidateVolumeCapabilities(ctx context.Context, request *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if request.GetVolumeId() == "" {
		return nil, driver.Errorf(codes.InvalidArgument, "the volume id is missing")
	}
	if len(request.GetVolumeCapabilities()) == 0 {
		return nil, driver.Errorf(codes.InvalidArgument, "volume capabilities are missing")
	}
	id, err := volume.ParseID(request.GetVolumeId())
	if err != nil {
		return nil, err
	}
	response := new(csi.ValidateVolumeCapabilitiesResponse)
	err = c.withRecord(ctx, id, request.GetSecrets(), func(_ *record.Store, r *record.Record) (err error) {
		if response.Message, err = mismatch(request, r); err != nil || response.Message != "" {
			return err
		}
		response.Confirmed = &csi.ValidateVolumeCapabilitiesResponse_Confirmed{
			VolumeContext:      request.GetVolumeContext(),
			VolumeCapabilities: request.GetVolumeCapabilities(),
			Parameters:         request.GetParameters(),
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return response, nil
}

// mismatch says what of a request the volume is not; empty: it is all of it.
func mismatch(request *csi.ValidateVolumeCapabilitiesRequest, r *record.Record) (string, error) {
	if err := checkCapabilities(request.GetVolumeCapabilities()); err != nil {
		return err.Error(), nil
	}
	if len(request.GetMutableParameters()) > 0 {
		return "mutable parameters are not supported; the volume has none", nil
	}
	values, err := contextOf(r)
	if err != nil {
		return "", err
	}
	if err := checkMountOptions(values, request.GetVolumeCapabilities()); err != nil {
		return err.Error(), nil
	}
	if given := request.GetVolumeContext(); len(given) > 0 && !sameContext(given, values) {
		return fmt.Sprintf("the volume's context is %v", values), nil
	}
	if given := request.GetParameters(); len(given) > 0 {
		existing, err := r.Parsed()
		if err != nil {
			return "", err
		}
		if asked, err := params.Parse(given); err != nil || asked != existing {
			return fmt.Sprintf("the volume's parameters are %v", r.Parameters), nil
		}
	}
	return "", nil
}

// sameContext compares what a node would read, but for the size, which grows.
func sameContext(a, b map[string]string) bool {
	x, _, errX := volume.ParseContext(a, nil)
	y, _, errY := volume.ParseContext(b, nil)
	return errX == nil && errY == nil && x.Parameters == y.Parameters && x.QIDPath == y.QIDPath
}
