// Package metrics turns what the parts of a process have counted into
// Prometheus metrics, when they are scraped. The parts themselves know nothing
// of Prometheus: they count in atomics of their own and hand out snapshots. All
// names of metrics are here, and docs/metrics.md describes them.
package metrics

import (
	"runtime"
	"time"

	"github.com/kubernetes-csi/csi-lib-utils/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
)

// namespace begins the name of every metric of this project's own.
const namespace = "csi9p"

// Registry holds the metrics of a process. All is registered before the first
// scrape.
type Registry struct {
	own *prometheus.Registry
	all prometheus.Gatherers
}

// NewRegistry returns a registry with what every process has: Go's runtime, the
// process and the build.
func NewRegistry(version string) *Registry {
	r := &Registry{own: prometheus.NewRegistry()}
	r.all = prometheus.Gatherers{r.own}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        prometheus.BuildFQName(namespace, "", "build_info"),
		Help:        "Always 1. Tells which build runs.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": runtime.Version()},
	})
	build.Set(1)
	r.own.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Register adds collectors. It panics if two of them have a metric of one name.
func (r *Registry) Register(c ...prometheus.Collector) { r.own.MustRegister(c...) }

// Gather implements prometheus.Gatherer.
func (r *Registry) Gather() ([]*dto.MetricFamily, error) { return r.all.Gather() }

// Operations registers the CSI community's own metric of a plugin,
// csi_plugin_operations_seconds, and returns what is to be told of each call:
// its full gRPC method, its outcome and how long it took.
func (r *Registry) Operations(driverName string) func(method string, err error, took time.Duration) {
	manager := metrics.NewCSIMetricsManagerWithOptions(driverName,
		metrics.WithSubsystem(metrics.SubsystemPlugin),
		metrics.WithProcessStartTime(false)) // the process collector has it
	r.all = append(r.all, manager.GetRegistry())
	return manager.RecordMetrics
}
