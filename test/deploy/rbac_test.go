package deploy_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// rights are all that anybody of the driver has, by role and resource.
var rights = map[string]map[string][]string{
	"ClusterRole csi-9p-controller": {
		"persistentvolumes":                      {"get", "list", "watch", "create", "patch", "delete"},
		"persistentvolumeclaims":                 {"get", "list", "watch", "update"},
		"persistentvolumeclaims/status":          {"patch"},
		"events":                                 {"create", "patch"},
		"storage.k8s.io/storageclasses":          {"get", "list", "watch"},
		"storage.k8s.io/volumeattributesclasses": {"get", "list", "watch"},
	},
	"ClusterRole csi-9p-secrets": {"secrets": {"get"}},
	"Role csi-9p-leases":         {"coordination.k8s.io/leases": {"get", "create", "update"}},
}

// deviceRights are the same where each node provisions for itself.
var deviceRights = map[string]map[string][]string{
	"ClusterRole csi-9p-virtio-provisioner": {
		"persistentvolumes":                      {"get", "list", "watch", "create", "patch", "delete"},
		"persistentvolumeclaims":                 {"get", "list", "watch", "update"},
		"events":                                 {"create", "patch"},
		"storage.k8s.io/storageclasses":          {"get", "list", "watch"},
		"storage.k8s.io/volumeattributesclasses": {"get"},
	},
}

func TestRights(t *testing.T) {
	for origin, objects := range everything(t) {
		rights := rights
		if onDevices(origin) {
			rights = deviceRights
		}
		found := make(map[string]map[string][]string)
		for _, r := range all[*rbacv1.ClusterRole](objects) {
			found["ClusterRole "+r.Name] = byResource(t, origin, r.Rules)
		}
		for _, r := range all[*rbacv1.Role](objects) {
			found["Role "+r.Name] = byResource(t, origin, r.Rules)
		}
		if diff := cmp.Diff(rights, found); diff != "" {
			t.Errorf("%s (- wanted, + found):\n%s", origin, diff)
		}
	}
}

func byResource(t *testing.T, origin string, rules []rbacv1.PolicyRule) map[string][]string {
	t.Helper()
	verbs := make(map[string][]string)
	for _, rule := range rules {
		if len(rule.NonResourceURLs) > 0 || len(rule.APIGroups) != 1 {
			t.Errorf("%s: a rule with several groups or with URLs: %v", origin, rule)
		}
		for _, resource := range rule.Resources {
			if rule.APIGroups[0] != "" {
				resource = rule.APIGroups[0] + "/" + resource
			}
			verbs[resource] = append(verbs[resource], rule.Verbs...)
		}
	}
	return verbs
}

// Only the controller has rights, or the node's pod that has it; Secrets are read where a binding says so, not everywhere; who has no
// rights has no token.
func TestWhoHasRights(t *testing.T) {
	for origin, objects := range everything(t) {
		role, account := "csi-9p-controller", namespace+"/csi-9p-controller"
		if onDevices(origin) {
			role, account = "csi-9p-virtio-provisioner", "csi-9p-virtio/csi-9p-node"
		}
		bound := make(map[string]bool)
		for _, b := range all[*rbacv1.ClusterRoleBinding](objects) {
			if b.RoleRef.Name != role {
				t.Errorf("%s: %s is bound for the whole cluster", origin, b.RoleRef.Name)
			}
			bound = subjects(bound, b.Subjects)
		}
		for _, b := range all[*rbacv1.RoleBinding](objects) {
			bound = subjects(bound, b.Subjects)
		}
		if got := slices.Collect(maps.Keys(bound)); !slices.Equal(got, []string{account}) {
			t.Errorf("%s: rights have %v", origin, got)
		}
		for _, a := range all[*corev1.ServiceAccount](objects) {
			token := a.AutomountServiceAccountToken == nil || *a.AutomountServiceAccountToken
			if token && !bound[a.Namespace+"/"+a.Name] {
				t.Errorf("%s: service account %s has a token: %t", origin, a.Name, token)
			}
		}
	}
}

// The token of the controller's rights is given to the sidecars that speak to the API, by name, and to nobody by default: not to the
// process that speaks to servers.
func TestWhoHasTheToken(t *testing.T) {
	for origin, objects := range everything(t) {
		var having []string
		for _, w := range workloads(objects) {
			if is(w.pod.Spec.AutomountServiceAccountToken) || w.pod.Spec.AutomountServiceAccountToken == nil {
				t.Errorf("%s: every container of %s gets a token", origin, w.name)
			}
			for _, c := range w.containers() {
				if hasToken(w.pod.Spec, c) {
					having = append(having, w.name+"/"+c.Name)
				}
			}
		}
		slices.Sort(having)
		want := []string{"csi-9p-controller/csi-provisioner", "csi-9p-controller/csi-resizer"}
		if onDevices(origin) {
			want = []string{"csi-9p-node/csi-provisioner"}
		}
		if !slices.Equal(having, want) {
			t.Errorf("%s: a token have %v, wanted %v", origin, having, want)
		}
	}
}

// hasToken reports whether a container finds a token, the cluster's authority and its namespace where client-go looks for them.
func hasToken(pod corev1.PodSpec, c corev1.Container) bool {
	for _, m := range c.VolumeMounts {
		if m.MountPath != "/var/run/secrets/kubernetes.io/serviceaccount" {
			continue
		}
		for _, v := range pod.Volumes {
			if v.Name == m.Name && v.Projected != nil {
				return len(v.Projected.Sources) == 3
			}
		}
	}
	return false
}

func subjects(bound map[string]bool, subjects []rbacv1.Subject) map[string]bool {
	for _, s := range subjects {
		bound[s.Namespace+"/"+s.Name] = true
	}
	return bound
}
