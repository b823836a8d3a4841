package subdir_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/driver/subdir"
)

var names = subdir.Names{PV: "pvc-1", PVC: "data", PVCNamespace: "web"}

func TestExpand(t *testing.T) {
	for template, want := range map[string][]string{
		"${pv.metadata.name}": {"pvc-1"},
		"/k8s/${pvc.metadata.namespace}/${pvc.metadata.name}/": {"k8s", "web", "data"},
		"${pvc.metadata.namespace}-${pvc.metadata.name}":       {"web-data"},
		"fixed": {"fixed"},
		"a b/c": {"a b", "c"},
		"$HOME": {"$HOME"},
	} {
		got, err := subdir.Expand(template, names)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v, want %q", template, got, err, want)
		}
	}
}

func TestExpandRefuses(t *testing.T) {
	for _, test := range []struct {
		template string
		names    subdir.Names
		tells    string
	}{
		{"${pvc.metadata.name}", subdir.Names{PV: "x"}, "--extra-create-metadata"},
		{"${node.name}", names, "${node.name}"},
		{"${pv.metadata.name", names, "without its }"},
		{"${pv.metadata.name}", subdir.Names{PV: "../x"}, "'/'"},
		{"${pv.metadata.name}", subdir.Names{PV: ".."}, `".."`},
		{"${pv.metadata.name}", subdir.Names{PV: "${x}"}, "template itself"},
		{"${pv.metadata.name}", subdir.Names{PV: ".csi-9p"}, "belong to the driver"},
		{"a/${pv.metadata.name}/..", names, ".."},
		{"a//b", names, "empty component"},
		{"", names, "empty"},
		{strings.Repeat("a/", 40) + "b", names, "levels"},
		{strings.Repeat("a", 256), names, "256 bytes"},
		{strings.Repeat(strings.Repeat("a", 250)+"/", 5) + "b", names, "1024"},
		{"a\x00b", names, "NUL"},
	} {
		_, err := subdir.Expand(test.template, test.names)
		if !errors.Is(err, subdir.ErrInvalid) || !strings.Contains(err.Error(), test.tells) {
			t.Errorf("%.40q: got %v, want ErrInvalid that tells %q", test.template, err, test.tells)
		}
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("${pv.metadata.name}", "pvc-1")
	f.Add("a/${pvc.metadata.name}/b", "../..")
	f.Fuzz(func(t *testing.T, template, name string) {
		got, err := subdir.Expand(template, subdir.Names{PV: name, PVC: name, PVCNamespace: name})
		if err != nil {
			return
		}
		if err := subdir.Check(got); err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		if again, err := subdir.Split(subdir.Join(got)); err != nil || !slices.Equal(again, got) {
			t.Fatalf("%q read back as %q, %v", got, again, err)
		}
	})
}
