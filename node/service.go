// Package node is the CSI Node service: it stages a volume by mounting it, with
// the mounter serving the mount, publishes it to pods by bind mounts, and tells
// its size. It restarts at any time without a trace: what is mounted is read
// from /proc/self/mountinfo, what is served is asked of the mounter, and
// nothing else is kept.
//
// No call here issues a system call that a dead server can block. A mounted
// path is never opened, read, or asked for its attributes; a server is asked
// through the mounter, under a deadline. The one wait that a server can prolong
// is the end of a file system's last mount with dirty pages: see detach.go.
package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/shares"
	"github.com/csi-9p/csi-9p/driver/topology"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"github.com/csi-9p/csi-9p/node/v9fs"
	"github.com/csi-9p/csi-9p/transport/mtls"
	mount "k8s.io/mount-utils"
)

// Mounter is what the service asks of the process that owns the mounts.
// mounter.Client is the real one.
type Mounter interface {
	Ping(ctx context.Context) error
	Prepare(ctx context.Context, spec mounter.Spec) error
	Serve(ctx context.Context, volumeID string, dev *os.File) error
	Release(ctx context.Context, volumeID string) error
	List(ctx context.Context) ([]mounter.Status, error)
	Status(ctx context.Context, volumeID string) (mounter.Status, error)
	Stats(ctx context.Context, volumeID string) (mounter.Usage, error)
	Resize(ctx context.Context, volumeID string, bytes int64) error
	Renew(ctx context.Context, volumeID string, secret *mtls.PEM) error
}

// Options are what a Service needs.
type Options struct {
	Name    string         // the driver's
	NodeID  string         // as the CO knows the node
	Mounter Mounter        // the node's
	Shares  *shares.Shares // the shares that volumes may name
	Kernel  *v9fs.Mounts   // the volumes of engine: kernel; nil: there are none

	Topology *topology.Node // the shares that not every node has; nil: there are none
}

// Service implements the CSI Node service. It is safe for concurrent use; calls
// for one volume are refused with Aborted while another is under way.
type Service struct {
	csi.UnimplementedNodeServer
	options  Options
	binds    mount.Interface
	locks    driver.Locks
	unmounts unmounts
	mounting sync.Mutex // held while a mount is made, and while one is aborted
}

// maxNodeID is Kubernetes' limit of a node id in bytes (CSINode, nodeID), which
// is stricter than CSI's.
const maxNodeID = 192

// New makes a Node service.
func New(o Options) (*Service, error) {
	if o.NodeID == "" || len(o.NodeID) > maxNodeID {
		return nil, fmt.Errorf("the node id must have 1 to %d bytes", maxNodeID)
	}
	if o.Mounter == nil || o.Shares == nil {
		return nil, errors.New("node: Options without a Mounter or Shares")
	}
	return &Service{options: o, binds: mountpoint.Mounter{}}, nil
}

// readyTimeout bounds the question whether the mounter answers.
const readyTimeout = time.Second

// Ready reports what the service lacks: a mounter that answers. Servers of
// volumes are not asked.
func (s *Service) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return s.options.Mounter.Ping(ctx)
}
