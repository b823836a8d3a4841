package metrics

import (
	"strings"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/latency"
	"github.com/prometheus/client_golang/prometheus"
)

// durations sends a sample of a histogram.
func durations(to sink, d *definition, s latency.Snapshot, labels ...string) {
	buckets := make(map[float64]uint64, len(latency.Bounds))
	var below uint64
	for i, bound := range latency.Bounds {
		below += s.Buckets[i]
		buckets[bound.Seconds()] = below
	}
	m, err := prometheus.NewConstHistogram(d.desc, s.Count(), s.Sum.Seconds(), buckets, labels...)
	to.send(d, m, err)
}

// other is the label of what has no name of its own, so that nobody can make up
// labels by what he sends.
const other = "other"

// typeLabel is a T-message's name as a label: Twalk is walk.
func typeLabel(t ninep.MsgType) string {
	if t == 0 {
		return other
	}
	return strings.ToLower(strings.TrimPrefix(t.String(), "T"))
}
