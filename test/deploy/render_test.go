package deploy_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	sigsyaml "sigs.k8s.io/yaml"
)

const (
	kubernetesDir = "../../deploy/kubernetes"
	chartDir      = "../../deploy/charts/csi-9p"
	namespace     = "csi-9p-system"
)

// overlays are what a user applies.
var overlays = []string{"stable", "lab", "vsock", "virtio", "virtio-uio"}

// onDevices reports whether something is for nodes with virtio devices, without a central controller.
func onDevices(origin string) bool {
	return strings.HasPrefix(origin, "overlay virtio") || origin == "chart for devices"
}

// deviceNamespace is where those are, and deviceValues the chart's that make them.
const (
	deviceNamespace = "csi-9p-virtio"
	deviceValues    = `
driver: {name: virtio.csi-9p.dev}
rbac: {name: csi-9p-virtio}
mounter: {httpPort: 29696}
`
)

// strict decodes a document into the API's own type; a field that the type does not have is an error.
var strict = json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})

// kustomize is what kubectl kustomize prints for a directory.
func kustomize(t *testing.T, dir string) []byte {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatalf("kustomize %s: %v", dir, err)
	}
	out, err := resources.AsYaml()
	if err != nil {
		t.Fatalf("kustomize %s: %v", dir, err)
	}
	return out
}

// overlay is what an overlay makes.
func overlay(t *testing.T, name string) []runtime.Object {
	t.Helper()
	return decode(t, kustomize(t, filepath.Join(kubernetesDir, "overlays", name)))
}

// template is what helm template prints with these values, without the notes.
func template(t *testing.T, values string) []byte {
	t.Helper()
	return templateIn(t, namespace, values)
}

// templateIn is template for a release in another namespace.
func templateIn(t *testing.T, namespace, values string) []byte {
	t.Helper()
	files, err := renderIn(namespace, values)
	if err != nil {
		t.Fatalf("helm template with %q: %v", values, err)
	}
	var out bytes.Buffer
	for name, content := range files {
		if strings.HasSuffix(name, ".yaml") {
			out.WriteString("---\n" + content + "\n")
		}
	}
	return out.Bytes()
}

// render is helm template: the chart's files by name.
func render(values string) (map[string]string, error) { return renderIn(namespace, values) }

func renderIn(namespace, values string) (map[string]string, error) {
	chart, err := loader.Load(chartDir)
	if err != nil {
		return nil, err
	}
	given := map[string]any{}
	if err := sigsyaml.Unmarshal([]byte(values), &given); err != nil {
		return nil, err
	}
	release := chartutil.ReleaseOptions{Name: "csi-9p", Namespace: namespace, IsInstall: true}
	all, err := chartutil.ToRenderValues(chart, given, release, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(chart, all)
}

// chart is what the chart makes with these values.
func chart(t *testing.T, values string) []runtime.Object {
	t.Helper()
	return decode(t, template(t, values))
}

// documents splits a stream of YAML documents; those with nothing in them are left out.
func documents(t *testing.T, stream []byte) [][]byte {
	t.Helper()
	var all [][]byte
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(stream)))
	for {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		var content any
		if err := sigsyaml.Unmarshal(doc, &content); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		if content != nil {
			all = append(all, slices.Clone(doc))
		}
	}
}

// decode reads a stream of YAML documents, each strictly.
func decode(t *testing.T, stream []byte) []runtime.Object {
	t.Helper()
	var objects []runtime.Object
	for _, doc := range documents(t, stream) {
		object, _, err := strict.Decode(doc, nil, nil)
		if err != nil {
			t.Errorf("%v in\n%s", err, doc)
			continue
		}
		objects = append(objects, object)
	}
	return objects
}
