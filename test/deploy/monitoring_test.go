package deploy_test

import (
	"os"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
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

// deploy/prometheus/podmonitor.yaml finds every process with metrics: the driver's, its sidecars' and the exporter's.
func TestPodMonitor(t *testing.T) {
	data, err := os.ReadFile("../../deploy/prometheus/podmonitor.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var monitor podMonitor
	if err := sigsyaml.Unmarshal(data, &monitor); err != nil {
		t.Fatal(err)
	}
	selector, err := metav1.LabelSelectorAsSelector(&monitor.Spec.Selector)
	if err != nil {
		t.Fatal(err)
	}
	var scraped []string
	for space, dir := range map[string]string{
		namespace:         kubernetesDir + "/overlays/stable",
		"csi-9p-exporter": "../../deploy/exporter/overlays/pvc",
	} {
		if !slices.Contains(monitor.Spec.NamespaceSelector.MatchNames, space) {
			t.Errorf("nothing is looked for in the namespace %s", space)
		}
		for _, w := range workloads(decode(t, kustomize(t, dir))) {
			if !selector.Matches(labels.Set(w.pod.Labels)) {
				t.Errorf("the selector does not match the pods of %s", w.name)
			}
			for _, c := range w.containers() {
				for _, p := range c.Ports {
					for _, e := range monitor.Spec.PodMetricsEndpoints {
						if e.Port == p.Name && e.Path == "/metrics" {
							scraped = append(scraped, w.name+"/"+c.Name)
						}
					}
				}
			}
		}
	}
	slices.Sort(scraped)
	want := []string{
		"csi-9p-controller/csi-9p", "csi-9p-controller/csi-provisioner", "csi-9p-controller/csi-resizer",
		"csi-9p-exporter/exporter", "csi-9p-mounter/mounter", "csi-9p-node/csi-9p",
	}
	if !slices.Equal(scraped, want) {
		t.Errorf("scraped are %v, wanted %v", scraped, want)
	}
}
