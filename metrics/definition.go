package metrics

import "github.com/prometheus/client_golang/prometheus"

// kind is a metric's type.
type kind string

const (
	counter   kind = "counter"
	gauge     kind = "gauge"
	histogram kind = "histogram"
)

// definition is one metric that this package makes of snapshots.
type definition struct {
	name   string
	kind   kind
	labels []string
	help   string
	desc   *prometheus.Desc
}

// define makes a definition. Its name lacks the namespace.
func define(k kind, name, help string, labels ...string) *definition {
	d := &definition{name: namespace + "_" + name, kind: k, labels: labels, help: help}
	d.desc = prometheus.NewDesc(d.name, help, labels, nil)
	return d
}

// sink sends samples to whoever scrapes.
type sink chan<- prometheus.Metric

// value sends a sample of a counter or a gauge.
func value[N int | int64 | uint64 | float64](to sink, d *definition, v N, labels ...string) {
	t := prometheus.GaugeValue
	if d.kind == counter {
		t = prometheus.CounterValue
	}
	m, err := prometheus.NewConstMetric(d.desc, t, float64(v), labels...)
	to.send(d, m, err)
}

// send sends a sample, or why there is none, which fails the scrape of that
// sample and not the process.
func (to sink) send(d *definition, m prometheus.Metric, err error) {
	if err != nil {
		m = prometheus.NewInvalidMetric(d.desc, err)
	}
	to <- m
}

// collector makes samples of definitions.
type collector struct {
	definitions []*definition
	collect     func(sink)
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range c.definitions {
		descs <- d.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(samples chan<- prometheus.Metric) { c.collect(samples) }
