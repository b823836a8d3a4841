package controller

import (
	"fmt"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/record"
	"github.com/csi-9p/csi-9p/driver/subdir"
	"github.com/csi-9p/csi-9p/driver/volume"
	"google.golang.org/grpc/codes"
)

// maxName is a volume name's limit in bytes (CSI spec, "Size Limits").
const maxName = 128

// wanted is a volume as CreateVolume asks for it.
type wanted struct {
	road   road
	record *record.Record
	sizes  *csi.CapacityRange

	topology    *csi.TopologyRequirement
	onSomeNodes bool          // its share is
	at          *csi.Topology // what it will be accessible from; known on the share
}

// parseCreate checks a request by itself, without asking a server.
func (c *Controller) parseCreate(request *csi.CreateVolumeRequest) (*wanted, error) {
	if err := checkCreate(request); err != nil {
		return nil, err
	}
	p, err := params.Parse(request.GetParameters())
	if err != nil {
		return nil, err
	}
	names := params.ParseMetadata(request.GetParameters())
	if names.PV == "" {
		names.PV = request.GetName() // what external-provisioner calls the PersistentVolume
	}
	directory, err := subdir.Expand(p.SubDir, names)
	if err != nil {
		return nil, err
	}
	capacity, err := capacityOf(request.GetCapacityRange())
	if err != nil {
		return nil, err
	}
	w := &wanted{
		sizes:       request.GetCapacityRange(),
		topology:    request.GetAccessibilityRequirements(),
		onSomeNodes: c.onSomeNodes(p),
		record:      newRecord(request.GetName(), capacity, p, directory),
	}
	if w.road, err = c.roadTo(p); err != nil {
		return nil, err
	}
	if err := c.checkEngine(p); err != nil {
		return nil, err
	}
	return w, w.checkNode(request.GetVolumeCapabilities())
}

// newRecord is the record of a volume that is about to be made.
func newRecord(name string, capacity int64, p params.Parameters, directory []string) *record.Record {
	return &record.Record{
		Version:       record.Version,
		UUID:          volume.UUID(name),
		Name:          name,
		State:         record.Creating,
		CapacityBytes: capacity,
		Parameters:    p.Values(),
		Directory:     directory,
		Created:       time.Now().UTC().Truncate(time.Second),
	}
}

// checkCreate refuses what no parameters could make right.
func checkCreate(request *csi.CreateVolumeRequest) error {
	switch name := request.GetName(); {
	case name == "":
		return driver.Errorf(codes.InvalidArgument, "the volume's name is missing")
	case len(name) > maxName:
		return driver.Errorf(codes.InvalidArgument, "the volume's name is %d bytes long, more than %d", len(name), maxName)
	case request.GetVolumeContentSource() != nil:
		return driver.Errorf(codes.InvalidArgument, "volumes from snapshots or other volumes are not supported; remove the claim's dataSource")
	case len(request.GetMutableParameters()) > 0:
		return driver.Errorf(codes.InvalidArgument, "mutable parameters are not supported; remove the claim's volumeAttributesClassName and set them in the StorageClass")
	}
	return checkCapabilities(request.GetVolumeCapabilities())
}

// checkNode makes sure that a node will be able to read what it gets: a volume
// that no pod can use is better not made.
func (w *wanted) checkNode(capabilities []*csi.VolumeCapability) error {
	if err := w.road.id(w.record.Name).Check(); err != nil {
		return err
	}
	probe := w.record.Clone()
	probe.QID = new(record.QID)
	values, err := contextOf(probe)
	if err != nil {
		return err
	}
	return checkMountOptions(values, capabilities)
}

// checkMountOptions reports the first mount option that a node would refuse with
// a volume context.
func checkMountOptions(values map[string]string, capabilities []*csi.VolumeCapability) error {
	for _, capability := range capabilities {
		if _, _, err := volume.ParseContext(values, capability.GetMount().GetMountFlags()); err != nil {
			return fmt.Errorf("mount options: %w", err)
		}
	}
	return nil
}

// contextOf returns the volume context of a record that has a qid.
func contextOf(r *record.Record) (map[string]string, error) {
	p, err := r.Parsed()
	if err != nil {
		return nil, err
	}
	return volume.Context{
		Parameters:    p,
		Directory:     r.Directory,
		Provisioned:   true,
		QIDPath:       r.QID.Path,
		CapacityBytes: r.CapacityBytes,
	}.Values(), nil
}

// capacityOf chooses a size within a range; 0: unlimited.
func capacityOf(sizes *csi.CapacityRange) (int64, error) {
	required, limit := sizes.GetRequiredBytes(), sizes.GetLimitBytes()
	switch {
	case required < 0 || limit < 0:
		return 0, driver.Errorf(codes.InvalidArgument, "the capacity range %d to %d is negative", required, limit)
	case limit != 0 && limit < required:
		return 0, driver.Errorf(codes.OutOfRange, "the capacity limit %d is below the %d bytes required", limit, required)
	case required == 0:
		return limit, nil
	}
	return required, nil
}

// fits reports whether a size satisfies a range.
func fits(capacity int64, sizes *csi.CapacityRange) bool {
	required, limit := sizes.GetRequiredBytes(), sizes.GetLimitBytes()
	if capacity == 0 {
		return required == 0 && limit == 0
	}
	return capacity >= required && (limit == 0 || capacity <= limit)
}

// volumeOf describes a volume to the caller; at is where it is accessible from,
// nil everywhere.
func volumeOf(id volume.ID, r *record.Record, at *csi.Topology) (*csi.Volume, error) {
	values, err := contextOf(r)
	if err != nil {
		return nil, err
	}
	v := &csi.Volume{VolumeId: id.String(), CapacityBytes: r.CapacityBytes, VolumeContext: values}
	if at != nil {
		v.AccessibleTopology = []*csi.Topology{at}
	}
	return v, nil
}

// checkEngine refuses a share whose nodes' server the volume's engine cannot mount. A share that is not known is told later.
func (c *Controller) checkEngine(p params.Parameters) error {
	share, err := c.shares.Resolve(p)
	if err != nil {
		return nil
	}
	return p.CheckEngine(share.Server)
}
