package deploy_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
)

// everything is all that a user can apply, by name.
func everything(t *testing.T) map[string][]runtime.Object {
	t.Helper()
	made := map[string][]runtime.Object{
		"chart": chart(t, ""),
		"chart with all features": chart(t, `
feature: {vsock: true}
shares: {tank: {server: "tcp://10.0.0.5:564", aname: /tank}}
storageClasses: [{name: shared, parameters: {share: tank}}]
rbac: {secretNamespaces: [team]}
customLabels: {team: storage}
imagePullSecrets: [{name: registry}]
`),
	}
	made["chart for devices"] = decode(t, templateIn(t, deviceNamespace, deviceValues+"feature: {virtio: ['virtio://share0', 'virtio://share1']}"))
	for _, name := range overlays {
		made["overlay "+name] = overlay(t, name)
	}
	return made
}

// The API's own schema: types, and lists that may not name a thing twice (containers, ports, volumes, variables).
func TestSchema(t *testing.T) {
	converter := applyconfigurations.NewTypeConverter(scheme.Scheme)
	for origin, objects := range everything(t) {
		for _, object := range objects {
			if _, err := converter.ObjectToTyped(object); err != nil {
				t.Errorf("%s: %s: %v", origin, name(t, object), err)
			}
		}
	}
}

// What the API server checks of a workload beyond its schema, and what it does not check and the kubelet stumbles over.
func TestWorkloads(t *testing.T) {
	for origin, objects := range everything(t) {
		found := workloads(objects)
		want := 3
		if onDevices(origin) {
			want = 2
		}
		if len(found) != want {
			t.Errorf("%s: %d workloads", origin, len(found))
		}
		for _, w := range found {
			selector, err := metav1.LabelSelectorAsSelector(w.selector)
			if err != nil || !selector.Matches(labels.Set(w.pod.Labels)) {
				t.Errorf("%s: %s does not select its own pods: %v", origin, w.name, err)
			}
			for _, other := range found {
				if other.name != w.name && selector.Matches(labels.Set(other.pod.Labels)) {
					t.Errorf("%s: %s selects the pods of %s", origin, w.name, other.name)
				}
			}
			for _, c := range w.containers() {
				checkContainer(t, origin+": "+w.name+"/"+c.Name, w.pod.Spec, c)
			}
		}
	}
}

func checkContainer(t *testing.T, where string, pod corev1.PodSpec, c corev1.Container) {
	t.Helper()
	for _, m := range c.VolumeMounts {
		if !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) {
			t.Errorf("%s mounts volume %s, which is not there", where, m.Name)
		}
	}
	for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if p != nil && p.HTTPGet != nil && !listens(pod, c, p.HTTPGet.Port) {
			t.Errorf("%s: a probe asks port %s, which is not there", where, p.HTTPGet.Port.String())
		}
	}
	if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() {
		t.Errorf("%s requests no resources", where)
	}
	if !c.Resources.Limits.Cpu().IsZero() {
		t.Errorf("%s has a limit of CPU, which throttles", where)
	}
	image, tag, pinned := strings.Cut(c.Image, ":")
	if !pinned || tag == "latest" || tag == "" {
		t.Errorf("%s: image %s is not pinned", where, image)
	}
}

// listens reports whether a probe of container c finds its port: by a name of c's own, or by a number of any container's.
func listens(pod corev1.PodSpec, c corev1.Container, port intstr.IntOrString) bool {
	if port.Type == intstr.String {
		return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == port.StrVal })
	}
	return slices.ContainsFunc(pod.Containers, func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.ContainerPort == port.IntVal })
	})
}

// One release runs one image of the driver, in whatever way it is installed.
func TestOneRelease(t *testing.T) {
	images := make(map[string][]string)
	for origin, objects := range everything(t) {
		for _, w := range workloads(objects) {
			for _, c := range w.containers() {
				if repository, _, _ := strings.Cut(c.Image, ":"); repository == "ghcr.io/csi-9p/csi-9p" {
					images[c.Image] = append(images[c.Image], origin+": "+w.name+"/"+c.Name)
				}
			}
		}
	}
	if len(images) != 1 {
		t.Errorf("images of the driver: %v", images)
	}
}
