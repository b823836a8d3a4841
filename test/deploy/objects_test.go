package deploy_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// name is an object's kind, namespace and name.
func name(t *testing.T, object runtime.Object) string {
	t.Helper()
	accessor, err := meta.Accessor(object)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(strings.Join([]string{object.GetObjectKind().GroupVersionKind().Kind, accessor.GetNamespace(), accessor.GetName()}, "/"), "/")
}

// all are the objects of one type.
func all[T runtime.Object](objects []runtime.Object) []T {
	var found []T
	for _, object := range objects {
		if o, ok := object.(T); ok {
			found = append(found, o)
		}
	}
	return found
}

// A workload is what a Deployment and a DaemonSet have in common.
type workload struct {
	name     string
	selector *metav1.LabelSelector
	pod      corev1.PodTemplateSpec
}

func workloads(objects []runtime.Object) []workload {
	var found []workload
	for _, d := range all[*appsv1.Deployment](objects) {
		found = append(found, workload{d.Name, d.Spec.Selector, d.Spec.Template})
	}
	for _, d := range all[*appsv1.DaemonSet](objects) {
		found = append(found, workload{d.Name, d.Spec.Selector, d.Spec.Template})
	}
	return found
}

// containers are all of a pod's, those that start before the others too.
func (w workload) containers() []corev1.Container {
	return append(w.pod.Spec.InitContainers[:len(w.pod.Spec.InitContainers):len(w.pod.Spec.InitContainers)], w.pod.Spec.Containers...)
}

// helmLabels are those that only the chart sets.
var helmLabels = []string{"app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"}

// generated is the suffix of a name that kustomize made from the content.
var generated = regexp.MustCompile(`^(csi-9p-seccomp)-[a-z0-9]{10}$`)

// plain turns objects into maps, by name, without what has to differ between kustomize and Helm.
func plain(t *testing.T, objects []runtime.Object) map[string]any {
	t.Helper()
	found := make(map[string]any)
	for _, object := range objects {
		data, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		var content any
		if err := json.Unmarshal(data, &content); err != nil {
			t.Fatal(err)
		}
		key := generated.ReplaceAllString(name(t, object), "$1")
		if i := strings.LastIndexByte(key, '/'); i >= 0 {
			key = key[:i+1] + generated.ReplaceAllString(key[i+1:], "$1")
		}
		if _, twice := found[key]; twice {
			t.Errorf("%s is there twice", key)
		}
		found[key] = common(content)
	}
	return found
}

// common takes out of content what only the one of the two makes.
func common(content any) any {
	switch c := content.(type) {
	case map[string]any:
		for _, label := range helmLabels {
			delete(c, label)
		}
		for key, value := range c {
			c[key] = common(value)
		}
	case []any:
		for i, value := range c {
			c[i] = common(value)
		}
	case string:
		return generated.ReplaceAllString(c, "$1")
	}
	return content
}
