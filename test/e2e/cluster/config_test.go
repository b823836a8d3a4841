package cluster

import (
	"encoding/json"
	"testing"

	"github.com/pelletier/go-toml/v2"
	"sigs.k8s.io/yaml"
)

// TestConfigsAreWellFormed renders every configuration and reads it back, as its daemon would.
func TestConfigsAreWellFormed(t *testing.T) {
	node := nodeConfig{
		Name: "node1", Cgroup: "/lab/node1", DNS: "10.77.0.1", Domain: "cluster.local", Pause: "registry.k8s.io/pause:1",
		PodCIDR: "10.78.1.0/24", PodsCIDR: podsCIDR, Programs: "/programs", ProxyKubeconfig: "/proxy.kubeconfig",
	}
	for _, tc := range []struct {
		name   string
		values any
		read   func([]byte, any) error
		key    []string // of a value that is
		want   string
	}{
		{"kubelet.yaml", node, readYAML, []string{"cgroupRoot"}, "/lab/node1"},
		{"proxy.yaml", node, readYAML, []string{"clientConnection", "kubeconfig"}, "/proxy.kubeconfig"},
		{"containerd.toml", node, toml.Unmarshal, []string{"plugins", "io.containerd.cri.v1.images", "pinned_images", "sandbox"}, "registry.k8s.io/pause:1"},
		{"pods.conflist", node, json.Unmarshal, []string{"name"}, "pods"},
		{"kubeconfig.yaml", kubeconfig{Server: "https://10.77.0.1:6443", CA: "/ca", User: "admin", Token: "secret"}, readYAML, []string{"current-context"}, "lab"},
	} {
		text, err := render(tc.name, tc.values)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		var value any
		if err := tc.read(text, &value); err != nil {
			t.Errorf("%s: %v\n%s", tc.name, err, text)
			continue
		}
		for _, key := range tc.key {
			value = value.(map[string]any)[key]
		}
		if value != tc.want {
			t.Errorf("%s: %v is %v, want %s", tc.name, tc.key, value, tc.want)
		}
	}
}

func readYAML(b []byte, v any) error { return yaml.UnmarshalStrict(b, v) }

func TestCovered(t *testing.T) {
	for path, want := range map[string]bool{
		"/root/.cache/csi-9p-lab": false,
		"/tmp":                    true,
		"/tmp/cache":              true,
		"/tmpfs":                  false,
		"/var/lib/lab":            true,
		"/var/library":            false,
	} {
		if got := covered(path); got != want {
			t.Errorf("%s is covered on a node: %v, want %v", path, got, want)
		}
	}
}
