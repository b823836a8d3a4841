package metrics_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver/shares"
	"github.com/csi-9p/csi-9p/metrics"
	"github.com/csi-9p/csi-9p/node"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a node with a volume mounted, its exporter, and the registries of their processes.
type rig struct {
	t        *testing.T
	exporter *nodetest.Exporter
	mounter  *nodetest.Mounter
	node     *node.Service
	staging  string

	exporting, mounting, staged *metrics.Registry
}

const volumeID = "the-volume"

func newRig(t *testing.T) *rig {
	t.Helper()
	nodetest.NoLeaks(t)
	r := &rig{t: t, exporter: nodetest.Export(t), mounter: nodetest.NewMounter(t)}
	none, err := shares.Open("")
	r.must(err)
	r.node, err = node.New(node.Options{Name: t.Name(), NodeID: "n", Mounter: r.mounter, Shares: none})
	r.must(err)
	r.staging = filepath.Join(nodetest.Dir(t), t.Name(), "stage")
	r.must(os.MkdirAll(r.staging, 0o755))
	_, err = r.node.NodeStageVolume(t.Context(), &csi.NodeStageVolumeRequest{
		VolumeId: volumeID, StagingTargetPath: r.staging,
		VolumeContext: map[string]string{"server": r.exporter.URL},
		VolumeCapability: &csi.VolumeCapability{
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER},
		},
	})
	r.must(err)
	r.exporting, r.mounting, r.staged = metrics.NewRegistry("v1"), metrics.NewRegistry("v1"), metrics.NewRegistry("v1")
	r.exporting.Register(metrics.Exporter(r.exporter.Server()))
	r.mounting.Register(metrics.Volumes(r.mounter.Volumes()), metrics.Sessions(r.mounter.Volumes().ServerStats))
	r.staged.Register(metrics.Node(t.Context(), r.node))
	r.staged.Operations("csi-9p.dev")("/csi.v1.Node/NodeStageVolume", status.Error(codes.Unavailable, "x"), time.Second)
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) unstage() {
	r.t.Helper()
	_, err := r.node.NodeUnstageVolume(r.t.Context(), &csi.NodeUnstageVolumeRequest{VolumeId: volumeID, StagingTargetPath: r.staging})
	r.must(err)
}

// family is what a registry has of a metric; nil: nothing.
func family(t *testing.T, r *metrics.Registry, name string) *dto.MetricFamily {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == name }); i >= 0 {
		return families[i]
	}
	return nil
}

// sample is the value of the series with these label values, in the order of the labels' names; NaN-free: absent is -1.
// That of a histogram is its count.
func sample(t *testing.T, r *metrics.Registry, name string, values ...string) float64 {
	t.Helper()
	for _, m := range family(t, r, name).GetMetric() {
		var got []string
		for _, l := range m.GetLabel() {
			got = append(got, l.GetValue())
		}
		if slices.Equal(got, values) {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return -1
}

// TestEveryMetricIsExported: what is defined is there on a node that works, in the form that Prometheus' own linter likes.
func TestEveryMetricIsExported(t *testing.T) {
	r := newRig(t)
	r.must(nodetest.WriteFile(filepath.Join(r.staging, "f"), strings.Repeat("x", 5000)))
	nodetest.Eventually(t, "the use is counted", func() bool {
		return sample(t, r.mounting, "csi9p_volume_used_inodes", volumeID) >= 1
	})
	found := make(map[string]*dto.MetricFamily)
	for _, registry := range []*metrics.Registry{r.exporting, r.mounting, r.staged} {
		families, err := registry.Gather()
		r.must(err)
		for _, f := range families {
			found[f.GetName()] = f
		}
		problems, err := testutil.GatherAndLint(registry)
		r.must(err)
		for _, p := range problems {
			if strings.HasPrefix(p.Metric, "csi9p_") {
				t.Errorf("%s: %s", p.Metric, p.Text)
			}
		}
	}
	for _, d := range metrics.Definitions() {
		if f := found[d.Name]; f == nil && d.Name != "csi9p_volume_capacity_bytes" { // a static volume has none
			t.Errorf("%s is not exported", d.Name)
		}
	}
	for _, name := range []string{"csi9p_build_info", "go_goroutines", "process_resident_memory_bytes", "csi_plugin_operations_seconds"} {
		if found[name] == nil {
			t.Errorf("%s is not exported", name)
		}
	}
}

// TestFiguresOfWork: what a pod does shows on the volume, on the session and on the exporter.
func TestFiguresOfWork(t *testing.T) {
	r := newRig(t)
	server := r.exporter.URL
	r.must(nodetest.WriteFile(filepath.Join(r.staging, "f"), strings.Repeat("x", 5000)))
	for _, c := range []struct {
		registry *metrics.Registry
		name     string
		labels   []string // by their names' order
		want     float64
	}{
		{r.mounting, "csi9p_volume_bytes_total", []string{"written", volumeID}, 5000},
		{r.mounting, "csi9p_volume_payload_bytes_total", []string{"sent", "placed", "", volumeID}, 5000},
		{r.mounting, "csi9p_volume_payload_bytes_total", []string{"sent", "copied", "off", volumeID}, 0},
		{r.mounting, "csi9p_volume_requests_total", []string{"write", volumeID}, 1},
		{r.mounting, "csi9p_volume_connected", []string{volumeID}, 1},
		{r.mounting, "csi9p_volume_requests_in_flight", []string{volumeID}, 0},
		{r.mounting, "csi9p_volume_info", []string{"single", "close-to-open", "device", server, "", volumeID}, 1},
		{r.mounting, "csi9p_volumes", []string{"serving"}, 1},
		{r.mounting, "csi9p_volumes", []string{"draining"}, 0},
		{r.mounting, "csi9p_sessions", []string{server, "connected"}, 1},
		{r.mounting, "csi9p_sessions", []string{server, "lost"}, 0},
		{r.mounting, "csi9p_session_payload_bytes_total", []string{"sent", "placed", server}, 5000},
		{r.mounting, "csi9p_session_payload_bytes_total", []string{"sent", "copied", server}, 0},
		{r.mounting, "csi9p_session_call_duration_seconds", []string{server, "lcreate"}, 1},
		{r.mounting, "csi9p_session_call_errors_total", []string{server, "lcreate"}, 0},
		{r.exporting, "csi9p_exporter_payload_bytes_total", []string{"received"}, 5000},
		{r.exporting, "csi9p_exporter_request_duration_seconds", []string{"lcreate"}, 1},
		{r.exporting, "csi9p_exporter_connections", nil, 1},
		{r.exporting, "csi9p_exporter_refused_connections_total", []string{"address"}, 0},
		{r.staged, "csi9p_node_staged_volumes", []string{"served"}, 1},
		{r.staged, "csi9p_node_staged_volumes", []string{"dead"}, 0},
		{r.staged, "csi9p_node_mounter_up", nil, 1},
		{r.staged, "csi_plugin_operations_seconds", []string{"csi-9p.dev", "Unavailable", "/csi.v1.Node/NodeStageVolume"}, 1},
	} {
		if got := sample(t, c.registry, c.name, c.labels...); got != c.want {
			t.Errorf("%s%q is %v, want %v", c.name, c.labels, got, c.want)
		}
	}
}

// TestLostServer: the loss of a server shows while it lasts, and its return counts.
func TestLostServer(t *testing.T) {
	r := newRig(t)
	server := r.exporter.URL
	r.exporter.Kill()
	nodetest.Eventually(t, "the loss shows", func() bool {
		return sample(t, r.mounting, "csi9p_sessions", server, "lost") == 1 &&
			sample(t, r.mounting, "csi9p_sessions", server, "connected") == 0 &&
			sample(t, r.mounting, "csi9p_volume_connected", volumeID) == 0
	})
	r.exporter.Start()
	nodetest.Eventually(t, "the return shows", func() bool {
		return sample(t, r.mounting, "csi9p_session_reconnects_total", server) == 1 &&
			sample(t, r.mounting, "csi9p_volume_connected", volumeID) == 1
	})
}

// TestDeadMount: a mount whose mounter died is a dead one.
func TestDeadMount(t *testing.T) {
	r := newRig(t)
	r.mounter.Kill()
	if up, dead := sample(t, r.staged, "csi9p_node_mounter_up"), sample(t, r.staged, "csi9p_node_staged_volumes", "dead"); up != 0 || dead != 1 {
		t.Errorf("without a mounter: up %v, dead %v", up, dead)
	}
	r.mounter.Start()
	if up, dead := sample(t, r.staged, "csi9p_node_mounter_up"), sample(t, r.staged, "csi9p_node_staged_volumes", "dead"); up != 1 || dead != 1 {
		t.Errorf("with a new mounter: up %v, dead %v", up, dead)
	}
}

// TestSeriesGoWithTheirVolume: so that the number of series is bounded by what is there.
func TestSeriesGoWithTheirVolume(t *testing.T) {
	r := newRig(t)
	r.unstage()
	var left []string
	nodetest.Eventually(t, "the series are gone", func() bool { // with the session, which ends after the mount
		left = r.labelled("volume", "server")
		return len(left) == 0
	})
	for _, series := range left {
		t.Error("still there:", series)
	}
}

// labelled names the series that have one of these labels.
func (r *rig) labelled(names ...string) (all []string) {
	families, err := r.mounting.Gather()
	r.must(err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if slices.Contains(names, l.GetName()) {
					all = append(all, fmt.Sprintf("%s{%s=%q}", f.GetName(), l.GetName(), l.GetValue()))
				}
			}
		}
	}
	return all
}

// TestBadLabelFailsTheScrape: and not the process, which may be a mounter.
func TestBadLabelFailsTheScrape(t *testing.T) {
	r := metrics.NewRegistry("v1")
	r.Register(metrics.Broken())
	families, err := r.Gather()
	if err == nil || len(families) == 0 {
		t.Errorf("gathered %d families, %v", len(families), err)
	}
}
