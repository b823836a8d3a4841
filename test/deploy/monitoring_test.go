package deploy_test

import (
	"os"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	sigsyaml "sigs.k8s.io/yaml"
)

// podMonitor is what a PodMonitor of the Prometheus operator selects.
type podMonitor struct {
	Spec struct {
		NamespaceSelector   struct{ MatchNames []string }
		Selector            metav1.LabelSelector
		PodMetricsEndpoints []struct{ Port, Path string }
	}
}

// scrapes are the containers of a namespace that the monitor has scraped.
func (m podMonitor) scrapes(t *testing.T, namespace string, objects []runtime.Object) (found []string) {
	t.Helper()
	if looked := m.Spec.NamespaceSelector.MatchNames; len(looked) > 0 && !slices.Contains(looked, namespace) {
		t.Errorf("nothing is looked for in the namespace %s", namespace)
	}
	selector, err := metav1.LabelSelectorAsSelector(&m.Spec.Selector)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range workloads(objects) {
		if !selector.Matches(labels.Set(w.pod.Labels)) {
			t.Errorf("the selector does not match the pods of %s", w.name)
		}
		for _, c := range w.containers() {
			for _, p := range c.Ports {
				for _, e := range m.Spec.PodMetricsEndpoints {
					if e.Port == p.Name && e.Path == "/metrics" {
						found = append(found, w.name+"/"+c.Name)
					}
				}
			}
		}
	}
	slices.Sort(found)
	return found
}

// What has metrics: the driver's processes, the sidecars that speak to the API, and the exporter.
var (
	ofRelease  = []string{"csi-9p-controller/csi-9p", "csi-9p-controller/csi-provisioner", "csi-9p-controller/csi-resizer", "csi-9p-mounter/mounter", "csi-9p-node/csi-9p"}
	ofDevices  = []string{"csi-9p-mounter/mounter", "csi-9p-node/controller", "csi-9p-node/csi-9p", "csi-9p-node/csi-provisioner"}
	ofExporter = []string{"csi-9p-exporter/exporter"}
)

// deploy/prometheus/podmonitor.yaml finds every process with metrics.
func TestPodMonitor(t *testing.T) {
	data, err := os.ReadFile("../../deploy/prometheus/podmonitor.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var monitor podMonitor
	if err := sigsyaml.Unmarshal(data, &monitor); err != nil {
		t.Fatal(err)
	}
	for dir, where := range map[string]struct {
		namespace string
		want      []string
	}{
		kubernetesDir + "/overlays/stable":   {namespace, ofRelease},
		kubernetesDir + "/overlays/virtio":   {deviceNamespace, ofDevices},
		"../../deploy/exporter/overlays/pvc": {"csi-9p-exporter", ofExporter},
	} {
		if got := monitor.scrapes(t, where.namespace, decode(t, kustomize(t, dir))); !slices.Equal(got, where.want) {
			t.Errorf("%s: scraped are %v, wanted %v", dir, got, where.want)
		}
	}
}

// So does the chart's, of its release.
func TestChartPodMonitor(t *testing.T) {
	const enabled = "\nmetrics: {podMonitor: {enabled: true}}"
	for values, want := range map[string][]string{
		"": ofRelease,
		deviceValues + "feature: {virtio: [virtio://share0]}": ofDevices,
	} {
		files, err := render(values + enabled)
		if err != nil {
			t.Fatal(err)
		}
		var monitor podMonitor
		if err := sigsyaml.Unmarshal([]byte(files["csi-9p/templates/podmonitor.yaml"]), &monitor); err != nil {
			t.Fatal(err)
		}
		if got := monitor.scrapes(t, namespace, chart(t, values)); !slices.Equal(got, want) {
			t.Errorf("%q: scraped are %v, wanted %v", values, got, want)
		}
	}
}
