package deploy_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// privileges are all that a container has beyond the Pod Security level "restricted", by workload and container.
var privileges = map[string][]string{
	"csi-9p-node/csi-9p": {
		"user 0", "privileged", "escalation", "capabilities", "seccomp",
		"host path /var/lib/kubelet/plugins/csi-9p.dev", "host path /var/lib/kubelet", "propagation Bidirectional",
	},
	"csi-9p-node/node-driver-registrar": {
		"user 0", "SELinux spc_t",
		"host path /var/lib/kubelet/plugins/csi-9p.dev", "host path /var/lib/kubelet/plugins_registry",
	},
	"csi-9p-node/liveness-probe": {"user 0", "SELinux spc_t", "host path /var/lib/kubelet/plugins/csi-9p.dev"},
	"csi-9p-mounter/mounter": {
		"host network", "user 0", "SELinux spc_t",
		"host path /var/lib/kubelet/plugins/csi-9p.dev/mounter",
	},
	"csi-9p-mounter/seccomp-profile": {
		"host network", "user 0", "SELinux spc_t",
		"host path /var/lib/kubelet/seccomp",
	},
}

// devicePrivileges are the same where the mounter drives devices.
var devicePrivileges = map[string][]string{
	"csi-9p-node/csi-9p": {
		"user 0", "privileged", "escalation", "capabilities", "seccomp",
		"host path /var/lib/kubelet/plugins/virtio.csi-9p.dev", "host path /var/lib/kubelet", "propagation Bidirectional",
	},
	"csi-9p-node/node-driver-registrar": {
		"user 0", "SELinux spc_t",
		"host path /var/lib/kubelet/plugins/virtio.csi-9p.dev", "host path /var/lib/kubelet/plugins_registry",
	},
	"csi-9p-node/liveness-probe":  {"user 0", "SELinux spc_t", "host path /var/lib/kubelet/plugins/virtio.csi-9p.dev"},
	"csi-9p-node/controller":      {"user 0", "SELinux spc_t", "host path /var/lib/kubelet/plugins/virtio.csi-9p.dev"},
	"csi-9p-node/csi-provisioner": {"user 0", "SELinux spc_t"},
	"csi-9p-mounter/mounter": {
		"host network", "user 0", "privileged", "escalation", "capabilities", "seccomp",
		"host path /var/lib/kubelet/plugins/virtio.csi-9p.dev/mounter", "host path /run/csi-9p", "host path /dev",
	},
}

func TestPrivileges(t *testing.T) {
	for origin, objects := range everything(t) {
		privileges := privileges
		if onDevices(origin) {
			privileges = devicePrivileges
		}
		for _, w := range workloads(objects) {
			for _, c := range w.containers() {
				where := w.name + "/" + c.Name
				if diff := cmp.Diff(privileges[where], privilegesOf(w.pod.Spec, c)); diff != "" {
					t.Errorf("%s: %s (- wanted, + found):\n%s", origin, where, diff)
				}
			}
		}
	}
}

// privilegesOf lists what a container has that the level "restricted" forbids, and a root that can be written.
func privilegesOf(pod corev1.PodSpec, c corev1.Container) []string {
	var has []string
	add := func(is bool, what string) {
		if is {
			has = append(has, what)
		}
	}
	own, shared := c.SecurityContext, pod.SecurityContext
	if own == nil {
		own = new(corev1.SecurityContext)
	}
	if shared == nil {
		shared = new(corev1.PodSecurityContext)
	}
	user := first(own.RunAsUser, shared.RunAsUser)
	add(pod.HostNetwork, "host network")
	add(pod.HostPID || pod.HostIPC, "host's processes")
	add(user == nil || *user == 0, "user 0")
	add(is(own.Privileged), "privileged")
	add(own.AllowPrivilegeEscalation == nil || *own.AllowPrivilegeEscalation, "escalation")
	add(own.Capabilities == nil || len(own.Capabilities.Drop) != 1 || own.Capabilities.Drop[0] != "ALL" || len(own.Capabilities.Add) > 0, "capabilities")
	profile := first(own.SeccompProfile, shared.SeccompProfile)
	add(profile == nil || profile.Type == corev1.SeccompProfileTypeUnconfined, "seccomp")
	add(!is(own.ReadOnlyRootFilesystem), "writable root")
	if options := first(own.SELinuxOptions, shared.SELinuxOptions); options != nil {
		add(true, "SELinux "+options.Type)
	}
	return append(has, mountsOf(pod, c)...)
}

// mountsOf lists what of the host a container sees.
func mountsOf(pod corev1.PodSpec, c corev1.Container) []string {
	var has []string
	for _, m := range c.VolumeMounts {
		for _, v := range pod.Volumes {
			if v.Name == m.Name && v.HostPath != nil {
				has = append(has, "host path "+v.HostPath.Path)
			}
		}
		if m.MountPropagation != nil && *m.MountPropagation != corev1.MountPropagationNone {
			has = append(has, "propagation "+string(*m.MountPropagation))
		}
	}
	return has
}

func is(b *bool) bool { return b != nil && *b }

func first[T any](values ...*T) *T {
	for _, v := range values {
		if v != nil {
			return v
		}
	}
	return nil
}

// privilege is a line that gives one.
var privilege = regexp.MustCompile(`privileged: true|hostNetwork:|hostPath:|runAsUser: 0|spc_t|Bidirectional$|add: \[`)

// Who reads the manifests learns why: a privilege has a comment on its line or on one of the two above it.
func TestPrivilegesAreExplained(t *testing.T) {
	seen := 0
	for _, dir := range []string{kubernetesDir, chartDir + "/templates"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || (!strings.HasSuffix(path, ".yaml") && !strings.HasSuffix(path, ".tpl")) {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			lines := strings.Split(string(data), "\n")
			for i, line := range lines {
				code, _, _ := strings.Cut(line, "#")
				if !privilege.MatchString(strings.TrimSpace(code)) {
					continue
				}
				seen++
				if !strings.Contains(strings.Join(lines[max(0, i-2):i+1], "\n"), "#") {
					t.Errorf("%s:%d: %q without a word why", path, i+1, strings.TrimSpace(line))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 20 {
		t.Errorf("only %d privileges found in the files: the test looks for the wrong things", seen)
	}
}
