package metrics

import (
	"context"
	"time"

	"github.com/csi-9p/csi-9p/node"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/klog/v2"
)

// The metrics of the node service.
var (
	nodeMounterUp = define(gauge, "node_mounter_up",
		"1 if the node's mounter answers, else 0.")
	nodeMounts = define(gauge, "node_staged_volumes",
		"Volumes that are mounted on the node, by whether the mounter serves their mount. "+
			"One that is dead gives ENOTCONN to the pods that use it, until they are started again.", "state")
)

var nodeDefinitions = []*definition{nodeMounterUp, nodeMounts}

// askTimeout bounds the question to the mounter.
const askTimeout = 2 * time.Second

// Node collects the metrics of a node service. The mounter is asked at each
// scrape.
func Node(ctx context.Context, s *node.Service) prometheus.Collector {
	return &collector{nodeDefinitions, func(to sink) {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		mounts, err := s.Mounts(ctx)
		if err != nil {
			klog.FromContext(ctx).Error(err, "Cannot count the node's mounts")
			return
		}
		up := 0
		if mounts.MounterUp {
			up = 1
		}
		value(to, nodeMounterUp, up)
		value(to, nodeMounts, mounts.Served, "served")
		value(to, nodeMounts, mounts.Dead, "dead")
	}}
}
