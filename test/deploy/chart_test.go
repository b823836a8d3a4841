package deploy_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/shares"
	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	sigsyaml "sigs.k8s.io/yaml"
)

func TestChartLint(t *testing.T) {
	for _, message := range lint.AllWithKubeVersion(chartDir, nil, namespace, nil).Messages {
		if message.Severity >= support.WarningSev {
			t.Error(message)
		}
	}
}

// A wrong value is refused, not ignored.
func TestValuesAreChecked(t *testing.T) {
	for values, tells := range map[string]string{
		"contoller: {replicas: 3}":                                  "contoller",
		"controller: {replica: 3}":                                  "replica",
		"controller: {replicas: three}":                             "replicas",
		"controller: {timeout: 60}":                                 "timeout",
		"node: {maxUnavailable: 0}":                                 "maxUnavailable",
		"node: {tolerations: [{operator: Exist}]}":                  "operator",
		"kubeletDir: var/lib/kubelet":                               "kubeletDir",
		"kubeletDir: /var/lib/kubelet/":                             "kubeletDir",
		"driver: {name: csi_9p}":                                    "name",
		"image: {csi9p: {tag: x}}":                                  "csi9p",
		"image: {csi-9p: {pullPolicy: Sometimes}}":                  "pullPolicy",
		"shares: {tank: {}}":                                        "server",
		"shares: {tank: {server: 'tcp://h', addr: x}}":              "addr",
		"storageClasses: [{parameters: {share: tank}}]":             "name",
		"storageClasses: [{name: a, parameters: {msize: 1048576}}]": "msize",
		"storageClasses: [{name: a, provisioner: x}]":               "provisioner",
		"storageClasses: [{name: a, reclaimPolicy: Archive}]":       "reclaimPolicy",
		"rbac: {secretNamespaces: [Team]}":                          "secretNamespaces",
		"feature: {vsock: 'yes'}":                                   "vsock",
		"feature: {virtio: [share0]}":                               "virtio",
		"feature: {unsafeDMA: true}":                                "feature.virtio",
		"controller: {runOnControlPlane: 'yes'}":                    "runOnControlPlane",
		"node: {livenessProbe: {healthPort: 65536}}":                "healthPort",
	} {
		_, err := render(values)
		if err == nil || !strings.Contains(err.Error(), tells) {
			t.Errorf("%s: got %v, want an error that tells %q", values, err, tells)
		}
	}
}

func TestStorageClasses(t *testing.T) {
	objects := chart(t, `
driver: {name: other.example}
storageClasses:
  - name: plain
    parameters: {server: "tcp://10.0.0.5:564"}
  - name: rich
    annotations: {storageclass.kubernetes.io/is-default-class: "true"}
    labels: {tier: gold}
    parameters: {share: tank, msize: "131072", subDir: "${pvc.metadata.namespace}/${pvc.metadata.name}", onDelete: retain}
    reclaimPolicy: Retain
    volumeBindingMode: WaitForFirstConsumer
    allowVolumeExpansion: false
    mountOptions: [noatime]
`)
	classes := make(map[string]*storagev1.StorageClass)
	for _, c := range all[*storagev1.StorageClass](objects) {
		classes[c.Name] = c
		if _, err := params.Parse(c.Parameters); err != nil || c.Provisioner != "other.example" {
			t.Errorf("%s: provisioner %s, parameters: %v", c.Name, c.Provisioner, err)
		}
	}
	plain, rich := classes["plain"], classes["rich"]
	if len(classes) != 2 || plain == nil || rich == nil {
		t.Fatalf("got %v", classes)
	}
	if !*plain.AllowVolumeExpansion || *plain.ReclaimPolicy != corev1.PersistentVolumeReclaimDelete || *plain.VolumeBindingMode != storagev1.VolumeBindingImmediate {
		t.Errorf("the defaults are %+v", plain)
	}
	if *rich.AllowVolumeExpansion || *rich.ReclaimPolicy != corev1.PersistentVolumeReclaimRetain || *rich.VolumeBindingMode != storagev1.VolumeBindingWaitForFirstConsumer ||
		rich.Parameters["msize"] != "131072" || rich.Parameters["subDir"] != "${pvc.metadata.namespace}/${pvc.metadata.name}" || !slices.Equal(rich.MountOptions, []string{"noatime"}) ||
		rich.Labels["tier"] != "gold" || rich.Annotations["storageclass.kubernetes.io/is-default-class"] != "true" {
		t.Errorf("got %+v", rich)
	}
}

// With runOnControlPlane the controller goes to nodes with the label, and keeps the affinity it was given.
func TestRunOnControlPlane(t *testing.T) {
	const values = `
controller:
  runOnControlPlane: true
  affinity:
    podAffinity:
      requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone}]
`
	for _, w := range workloads(chart(t, values)) {
		affinity := w.pod.Spec.Affinity
		if w.name != "csi-9p-controller" {
			if affinity != nil {
				t.Errorf("%s has the affinity %v", w.name, affinity)
			}
			continue
		}
		want := []corev1.NodeSelectorRequirement{{Key: "node-role.kubernetes.io/control-plane", Operator: corev1.NodeSelectorOpExists}}
		terms := affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
		if len(terms) != 1 || !cmp.Equal(terms[0].MatchExpressions, want) || affinity.PodAffinity == nil {
			t.Errorf("got %v", affinity)
		}
		if !slices.ContainsFunc(w.pod.Spec.Tolerations, func(tol corev1.Toleration) bool { return tol.Key == want[0].Key }) {
			t.Errorf("the control plane's taint is not tolerated: %v", w.pod.Spec.Tolerations)
		}
	}
	const both = "controller: {runOnControlPlane: true, affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}}}"
	if _, err := render(both); err == nil || !strings.Contains(err.Error(), "exclude each other") {
		t.Errorf("got %v", err)
	}
}

// The sidecar listens where the readiness probe asks.
func TestHealthPort(t *testing.T) {
	ports := map[string]int32{"csi-9p-controller": 1001, "csi-9p-node": 1002}
	for _, w := range workloads(chart(t, "controller: {livenessProbe: {healthPort: 1001}}\nnode: {livenessProbe: {healthPort: 1002}}")) {
		port, has := ports[w.name]
		if !has {
			continue
		}
		for _, c := range w.containers() {
			switch c.Name {
			case "csi-9p":
				if asked := c.ReadinessProbe.HTTPGet.Port.IntVal; asked != port {
					t.Errorf("%s: the probe asks at %d", w.name, asked)
				}
			case "liveness-probe":
				if endpoint := fmt.Sprintf("--http-endpoint=:%d", port); !slices.Contains(c.Args, endpoint) || c.Ports[0].ContainerPort != port {
					t.Errorf("%s: %q, %v", w.name, c.Args, c.Ports)
				}
			}
		}
		delete(ports, w.name)
	}
	if len(ports) > 0 {
		t.Errorf("not found: %v", ports)
	}
}

// The driver reads the ConfigMap that the value shares makes.
func TestShares(t *testing.T) {
	maps := all[*corev1.ConfigMap](chart(t, `
shares:
  tank: {server: "tcp://10.0.0.5:564", aname: /tank, controllerServer: "tcp://storage.example"}
  lake: {server: "vsock://2:564"}
`))
	if len(maps) != 1 || maps[0].Name != "csi-9p-shares" {
		t.Fatalf("got %v", maps)
	}
	path := filepath.Join(t.TempDir(), "shares.yaml")
	if err := os.WriteFile(path, []byte(maps[0].Data["shares.yaml"]), 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := shares.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if tank, err := read.Lookup("tank"); err != nil || tank.Server.String() != "tcp://10.0.0.5/tank" || tank.Controller.Host != "storage.example" {
		t.Errorf("got %v, %v", tank, err)
	}
}

func TestSecretNamespaces(t *testing.T) {
	var found []string
	for _, b := range all[*rbacv1.RoleBinding](chart(t, "rbac: {secretNamespaces: [team, csi-9p-system]}")) {
		if b.RoleRef.Name == "csi-9p-secrets" && b.Subjects[0].Namespace == namespace {
			found = append(found, b.Namespace)
		}
	}
	if !slices.Equal(sorted(found), []string{namespace, "team"}) {
		t.Errorf("Secrets are read in %v", found)
	}
}

// values is values.yaml, flat: what a table has a row for.
func values(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile(chartDir + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := sigsyaml.UnmarshalStrict(data, &tree); err != nil {
		t.Fatal(err)
	}
	flat := make(map[string]string)
	flatten(flat, "", tree)
	return flat
}

// resources are one value each, however deep they are.
var resources = regexp.MustCompile(`^mounter\.resources$|\.resources\.`)

func flatten(flat map[string]string, path string, value any) {
	branch, is := value.(map[string]any)
	if is && len(branch) > 0 && !resources.MatchString(path) {
		for key, below := range branch {
			flatten(flat, strings.TrimPrefix(path+"."+key, "."), below)
		}
		return
	}
	data, _ := json.Marshal(value)
	flat[path] = string(data)
	if text, is := value.(string); is && text != "" {
		flat[path] = text
	}
}

// row is a row of README.md's table: value, default, meaning.
var row = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `([^`]*)` \\|")

func TestReadmeTable(t *testing.T) {
	readme, err := os.ReadFile(chartDir + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, match := range row.FindAllStringSubmatch(string(readme), -1) {
		got[match[1]] = canonical(match[2])
	}
	want := values(t)
	for key, value := range want {
		want[key] = canonical(value)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("README.md's table (- values.yaml, + README.md):\n%s", diff)
	}
}

// canonical is a JSON value in Go's order of keys, and any other text as it is.
func canonical(text string) string {
	var value any
	if json.Unmarshal([]byte(text), &value) != nil {
		return text
	}
	data, _ := json.Marshal(value)
	return string(data)
}

// The schema and values.yaml name the same values.
func TestSchemaHasEveryValue(t *testing.T) {
	data, err := os.ReadFile(chartDir + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]bool)
	properties(got, schema, "", schema)
	delete(got, "global") // Helm's own
	want := make(map[string]bool)
	for key := range values(t) {
		want[key] = true
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("values.schema.json (- values.yaml, + schema):\n%s", diff)
	}
}

// properties collects the paths of what a schema knows by name.
func properties(found map[string]bool, root map[string]any, path string, schema map[string]any) {
	if ref, is := schema["$ref"].(string); is {
		definitions := root["definitions"].(map[string]any)
		schema = definitions[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any)
	}
	below, is := schema["properties"].(map[string]any)
	if !is || resources.MatchString(path) {
		found[path] = true
		return
	}
	for key, value := range below {
		properties(found, root, strings.TrimPrefix(fmt.Sprintf("%s.%s", path, key), "."), value.(map[string]any))
	}
}
