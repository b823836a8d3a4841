package node

import (
	"context"

	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"k8s.io/klog/v2"
)

// Mounts are the volumes that are mounted on this node.
type Mounts struct {
	MounterUp bool // the mounter answers; if not, every mount counts as dead
	Served    int
	Dead      int // mounted and served by nobody
}

// Mounts counts the volumes in the mount table, and asks the mounter which of
// them it serves. It asks no server and touches no mount.
func (s *Service) Mounts(ctx context.Context) (Mounts, error) {
	table, err := mountpoint.Table()
	if err != nil {
		return Mounts{}, err
	}
	mounted := make(map[string]bool) // by volume: served
	for _, m := range table {
		if id, ours := volumeOf(m); ours {
			mounted[id] = false
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
