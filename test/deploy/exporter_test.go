package deploy_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/pod-security-admission/admission"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

const (
	exporterDir = "../../deploy/exporter"
	examplesDir = "../../deploy/examples"
)

// exporters are the ways to deploy the exporter, with the Pod Security level that each promises.
var exporters = map[string]api.Level{
	"pvc":      api.LevelBaseline,
	"hostpath": api.LevelPrivileged,
	"squash":   api.LevelRestricted,
}

// eachExporter runs a test for each overlay of the exporter.
func eachExporter(t *testing.T, test func(t *testing.T, way string, objects []runtime.Object)) {
	for way := range exporters {
		t.Run(way, func(t *testing.T) {
			test(t, way, decode(t, kustomize(t, filepath.Join(exporterDir, "overlays", way))))
		})
	}
}

// only is the one object of its type.
func only[T runtime.Object](t *testing.T, objects []runtime.Object) T {
	t.Helper()
	found := all[T](objects)
	if len(found) != 1 {
		t.Fatalf("%d objects of type %T, want 1", len(found), *new(T))
	}
	return found[0]
}

func TestExporterWorkload(t *testing.T) {
	eachExporter(t, func(t *testing.T, way string, objects []runtime.Object) {
		typed(t, objects)
		found := workloads(objects)
		if len(found) != 1 || len(found[0].containers()) != 1 {
			t.Fatalf("%d workloads, want one of one container", len(found))
		}
		pod := found[0].pod
		checkContainer(t, way, pod.Spec, pod.Spec.Containers[0])
		if pod.Spec.AutomountServiceAccountToken == nil || *pod.Spec.AutomountServiceAccountToken {
			t.Error("it has a token of the API")
		}
		if stable := workloads(overlay(t, "stable"))[0].containers()[0].Image; pod.Spec.Containers[0].Image != stable {
			t.Errorf("runs %s, the driver %s", pod.Spec.Containers[0].Image, stable)
		}
	})
}

// The Service and the NetworkPolicy are of the exporter's pods and ports, and the controller's pods are let in.
func TestExporterNetwork(t *testing.T) {
	eachExporter(t, func(t *testing.T, _ string, objects []runtime.Object) {
		pod := workloads(objects)[0].pod
		service, rules := only[*corev1.Service](t, objects), only[*networkingv1.NetworkPolicy](t, objects)
		selects(t, "the Service", &metav1.LabelSelector{MatchLabels: service.Spec.Selector}, pod.Labels)
		selects(t, "the NetworkPolicy", &rules.Spec.PodSelector, pod.Labels)
		listening := func(port string) bool {
			return slices.ContainsFunc(pod.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool { return p.Name == port })
		}
		for _, p := range service.Spec.Ports {
			if !listening(p.TargetPort.StrVal) {
				t.Errorf("the Service's port %s leads nowhere", p.TargetPort.String())
			}
		}
		for _, in := range rules.Spec.Ingress {
			for _, p := range in.Ports {
				if !listening(p.Port.StrVal) {
					t.Errorf("the NetworkPolicy's port %s leads nowhere", p.Port.String())
				}
			}
		}
		driver := overlay(t, "stable")
		peer := rules.Spec.Ingress[0].From[0]
		selects(t, "the NetworkPolicy's first peer", peer.PodSelector, controllerOf(t, driver).pod.Labels)
		if home := only[*corev1.Namespace](t, driver); peer.NamespaceSelector.MatchLabels[corev1.LabelMetadataName] != home.Name {
			t.Errorf("the controller is in %s, which is not let in", home.Name)
		}
	})
}

func controllerOf(t *testing.T, objects []runtime.Object) workload {
	t.Helper()
	for _, w := range workloads(objects) {
		if w.name == "csi-9p-controller" {
			return w
		}
	}
	t.Fatal("no controller")
	return workload{}
}

func selects(t *testing.T, who string, selector *metav1.LabelSelector, pod map[string]string) {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil || s.Empty() || !s.Matches(labels.Set(pod)) {
		t.Errorf("%s selects %v (%v), the pods have %v", who, s, err, pod)
	}
}

// Each overlay keeps the level that its namespace enforces, and does not keep the next stricter one, or it would promise less than
// it could.
func TestExporterPodSecurity(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	eachExporter(t, func(t *testing.T, way string, objects []runtime.Object) {
		pod := workloads(objects)[0].pod
		keeps := func(level api.Level) bool {
			results := evaluator.EvaluatePod(api.LevelVersion{Level: level, Version: api.LatestVersion()}, &pod.ObjectMeta, &pod.Spec)
			return policy.AggregateCheckResults(results).Allowed
		}
		promised := exporters[way]
		if enforced := only[*corev1.Namespace](t, objects).Labels[api.EnforceLevelLabel]; enforced != string(promised) {
			t.Errorf("the namespace enforces %s, want %s", enforced, promised)
		}
		if !keeps(promised) {
			t.Errorf("the pods are refused at the level %s", promised)
		}
		if promised != api.LevelRestricted && keeps(map[api.Level]api.Level{api.LevelPrivileged: api.LevelBaseline, api.LevelBaseline: api.LevelRestricted}[promised]) {
			t.Errorf("the pods keep a stricter level than %s", promised)
		}
	})
}

// typed checks objects against the API's schema.
func typed(t *testing.T, objects []runtime.Object) {
	t.Helper()
	converter := applyconfigurations.NewTypeConverter(scheme.Scheme)
	for _, object := range objects {
		if _, err := converter.ObjectToTyped(object); err != nil {
			t.Errorf("%s: %v", name(t, object), err)
		}
	}
}

// The examples' pods keep the level "restricted", whatever namespace they are copied to.
func TestExamplesPodSecurity(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	checked := 0
	for path, stream := range examples(t) {
		if !strings.HasPrefix(path, examplesDir) {
			continue
		}
		for _, object := range decode(t, stream) {
			metadata, spec, err := admission.DefaultPodSpecExtractor{}.ExtractPodSpec(object)
			if err != nil || spec == nil {
				continue
			}
			checked++
			if result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, metadata, spec)); !result.Allowed {
				t.Errorf("%s: %s", name(t, object), result.ForbiddenDetail())
			}
		}
	}
	if checked < 3 {
		t.Errorf("only %d workloads in the examples", checked)
	}
}
