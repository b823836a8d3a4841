package node

import (
	"context"
	"strings"

	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"k8s.io/klog/v2"
)

// Mounts are the volumes that are staged on this node.
type Mounts struct {
	MounterUp bool // the mounter answers; if not, every mount counts as dead
	Served    int
	Dead      int // mounted and served by nobody
}

// Mounts counts the driver's staged volumes in the mount table, and asks the
// mounter which of them it serves. It asks no server and touches no mount.
//
// The kubelet stages at plugins/kubernetes.io/csi/DRIVER/HASH/globalmount below
// its directory (pkg/volume/csi/csi_attacher.go, makeDeviceMountPath), which
// tells this driver's mounts from those of another one of its kind on the node.
func (s *Service) Mounts(ctx context.Context) (Mounts, error) {
	table, err := mountpoint.Table()
	if err != nil {
		return Mounts{}, err
	}
	mounted := make(map[string]bool) // by volume: served
	for _, m := range table {
		if id, ours := s.volumeOf(table, m); ours && strings.Contains(m.MountPoint, "/"+s.options.Name+"/") {
			mounted[id] = m.FsType != fsType // the kernel serves it
		}
	}
	held, err := s.options.Mounter.List(ctx)
	if err != nil {
		klog.FromContext(ctx).V(2).Info("The mounter does not tell what it serves", "reason", err.Error())
	}
	for _, v := range held {
		if _, here := mounted[v.Spec.VolumeID]; here && v.State != mounter.Prepared {
			mounted[v.Spec.VolumeID] = true
		}
	}
	count := Mounts{MounterUp: err == nil}
	for _, served := range mounted {
		if served {
			count.Served++
		} else {
			count.Dead++
		}
	}
	return count, nil
}
