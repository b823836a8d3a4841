package mounter

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/subdir"
	"github.com/csi-9p/csi-9p/driver/volume"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/transport/dial"
)

// ErrSpec is wrapped by the errors of a Spec that cannot be meant.
var ErrSpec = errors.New("volume specification")

// Spec is everything that a mount needs to be known of a volume.
type Spec struct {
	VolumeID string `json:"volumeID"`
	// Server is the URL of the tree to attach, aname included: what
	// Context's share or server stands for on this node.
	Server   string `json:"server"`
	ReadOnly bool   `json:"readOnly,omitempty"`
	// AccessMode is CSI's name of how the volume is used (VolumeCapability.AccessMode);
	// empty: not told.
	AccessMode string         `json:"accessMode,omitempty"`
	Context    volume.Context `json:"context"`
	// TLS is for servers at tls://. It goes to the mounter and never comes back.
	TLS Credentials `json:"tls,omitzero"`
}

// singleWriter is the access mode of a volume that one pod of the cluster uses
// (ReadWriteOncePod). SINGLE_NODE_WRITER and SINGLE_NODE_MULTI_WRITER do not keep
// a second node out where nothing is attached.
const singleWriter = "SINGLE_NODE_SINGLE_WRITER"

// Cache is the volume's cache mode, with auto decided by the access mode.
func (s Spec) Cache() params.Cache {
	switch mode := s.Context.Parameters.Cache; {
	case mode != params.CacheAuto:
		return mode
	case s.AccessMode == singleWriter:
		return params.CacheLoose
	default:
		return params.CacheCloseToOpen
	}
}

// sameServer reports whether the controller may have made the volume by way of
// the server that it is mounted from. A virtio device's is not the one: it has
// the node for a client, and numbers files as it likes (QEMU's multidevs=remap).
func (s Spec) sameServer() bool { return !strings.HasPrefix(s.Server, dial.Virtio+"://") }

// Limits are those of the volume's mount.
func (s Spec) Limits() fuse.Limits {
	return fuse.Limits{ReadAhead: int(s.Context.Parameters.ReadAhead), WriteBack: s.Cache() == params.CacheLoose}
}

// Same reports whether both ask for the same mount. The capacity is left out:
// it changes under a mounted volume; and so are the server of a share that is
// known by its name, and credentials. Of the access mode counts what follows from it.
func (s Spec) Same(o Spec) bool {
	return s.Context.Parameters == o.Context.Parameters && s.Cache() == o.Cache() &&
		(s.Server == o.Server || s.Context.Parameters.Share != "") &&
		s.VolumeID == o.VolumeID && s.ReadOnly == o.ReadOnly &&
		s.Context.Provisioned == o.Context.Provisioned && s.Context.QIDPath == o.Context.QIDPath &&
		subdir.Join(s.Context.Directory) == subdir.Join(o.Context.Directory)
}

// check reports what is wrong with a Spec that came from outside.
func (s Spec) check() (dial.URL, error) {
	if s.VolumeID == "" || len(s.VolumeID) > volume.MaxID {
		return dial.URL{}, fmt.Errorf("%w: the volume id must have 1 to %d bytes", ErrSpec, volume.MaxID)
	}
	if len(s.Context.Directory) > 0 {
		if err := subdir.Check(s.Context.Directory); err != nil {
			return dial.URL{}, fmt.Errorf("%w: %w", ErrSpec, err)
		}
	}
	if s.Context.CapacityBytes < 0 {
		return dial.URL{}, fmt.Errorf("%w: the capacity is negative", ErrSpec)
	}
	url, err := dial.Parse(s.Server)
	if err != nil {
		return dial.URL{}, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	return url, nil
}

// State is how far a volume has come.
type State string

// The states of a volume.
const (
	Prepared State = "prepared" // can be served, is not yet
	Serving  State = "serving"  // its FUSE connection works
	Draining State = "draining" // released or replaced while something still holds its mount, or ending
)

// Status is what List tells of a volume.
type Status struct {
	Spec      Spec      `json:"spec"`
	State     State     `json:"state"`
	Connected bool      `json:"connected"` // the session has its server
	Since     time.Time `json:"since"`     // of the connection or of its loss
	Lost      string    `json:"lost,omitempty"`
}

// Usage is the size and use of a volume. Counts of a kind that is not known are
// zero in all three.
type Usage struct {
	Bytes  Counts `json:"bytes"`
	Inodes Counts `json:"inodes"`
	// Scanned is when the use was last counted; zero where the figures are
	// those of the whole share.
	Scanned time.Time `json:"scanned,omitzero"`
}

// Counts are figures of one kind.
type Counts struct {
	Total     int64 `json:"total"`
	Available int64 `json:"available"`
	Used      int64 `json:"used"`
}
