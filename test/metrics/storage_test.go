package metrics

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/node/nodetest"
	client "github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/teststorage"
)

// prometheus has scraped a rig a few times while it worked.
type prometheus struct {
	*rig
	t       *testing.T
	storage *teststorage.TestStorage
	engine  *promql.Engine
	now     time.Time // of the last scrape
}

// scrapes and their interval: enough for a rate over five minutes.
const (
	scrapes  = 5
	interval = 30 * time.Second
)

func newPrometheus(t *testing.T) *prometheus {
	t.Helper()
	r := newRig(t)
	p := &prometheus{rig: r, t: t, storage: teststorage.New(t), now: time.Now().Truncate(time.Second)}
	t.Cleanup(func() { ok(t, p.storage.Close()) })
	p.engine = promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute})
	t.Cleanup(func() { ok(t, p.engine.Close()) })
	nodetest.Eventually(t, "the volume's use is counted", func() bool {
		families := must(r.registries["mounter"].Gather())(t)
		for _, f := range families {
			if f.GetName() == "csi9p_volume_used_bytes" {
				return true
			}
		}
		return false
	})
	for i := range scrapes {
		r.work()
		p.scrapeAll(p.now.Add(time.Duration(i+1-scrapes) * interval))
	}
	return p
}

// scrapeAll scrapes every process.
func (p *prometheus) scrapeAll(at time.Time) {
	p.t.Helper()
	for job, registry := range p.registries {
		p.scrape(at, job, registry)
	}
}

// scrape stores what a registry has, as Prometheus does.
func (p *prometheus) scrape(at time.Time, job string, registry client.Gatherer) {
	p.t.Helper()
	to := p.storage.Appender(context.Background())
	for _, family := range must(registry.Gather())(p.t) {
		for _, m := range family.GetMetric() {
			base := labels.NewBuilder(labels.FromStrings("job", job, "instance", job+":1"))
			for _, l := range m.GetLabel() {
				base.Set(l.GetName(), l.GetValue())
			}
			p.store(to, at, family.GetName(), base, m)
		}
	}
	ok(p.t, to.Commit())
}

// store stores the series of one metric.
func (p *prometheus) store(to storage.Appender, at time.Time, name string, base *labels.Builder, m *dto.Metric) {
	p.t.Helper()
	add := func(name string, v float64, more ...string) {
		l := labels.NewBuilder(base.Labels()).Set(model.MetricNameLabel, name)
		for i := 0; i < len(more); i += 2 {
			l.Set(more[i], more[i+1])
		}
		must(to.Append(0, l.Labels(), at.UnixMilli(), v))(p.t)
	}
	h := m.GetHistogram()
	if h == nil {
		add(name, m.GetCounter().GetValue()+m.GetGauge().GetValue()+m.GetUntyped().GetValue())
		return
	}
	for _, b := range h.GetBucket() {
		add(name+"_bucket", float64(b.GetCumulativeCount()), "le", strconv.FormatFloat(b.GetUpperBound(), 'g', -1, 64))
	}
	add(name+"_bucket", float64(h.GetSampleCount()), "le", "+Inf")
	add(name+"_sum", h.GetSampleSum())
	add(name+"_count", float64(h.GetSampleCount()))
}

// ask is what a query answers.
func (p *prometheus) ask(expr string) (promql.Vector, error) {
	query, err := p.engine.NewInstantQuery(context.Background(), p.storage, nil, expr, p.now)
	if err != nil {
		return nil, err
	}
	defer query.Close()
	vector, err := query.Exec(context.Background()).Vector()
	return slices.Clone(vector), err
}

// selectors are the series that a query is about, each as a query of its own, without time range.
func selectors(t *testing.T, expr string) []string {
	t.Helper()
	var all []string
	parser.Inspect(must(parser.NewParser(parser.Options{}).ParseExpr(expr))(t), func(n parser.Node, _ []parser.Node) error {
		if s, is := n.(*parser.VectorSelector); is {
			all = append(all, s.String())
		}
		return nil
	})
	return all
}
