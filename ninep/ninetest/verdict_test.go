package ninetest

import (
	"slices"
	"testing"
)

// TestVerdict: a rule that breaks fails nobody but the verdict, stops where it
// is fatal, and is cleaned up after in reverse, whatever breaks in there.
func TestVerdict(t *testing.T) {
	v := &verdict{TB: t}
	var order []int
	failures := v.judge(func() {
		v.Cleanup(func() { order = append(order, 1) })
		v.Cleanup(func() {
			order = append(order, 2)
			v.Fatal("in a cleanup")
		})
		v.Errorf("one of %d", 2)
		v.Fatalf("the other")
		order = append(order, 0)
	})
	if want := []string{"one of 2", "the other", "in a cleanup"}; !slices.Equal(failures, want) {
		t.Errorf("failures %q, want %q", failures, want)
	}
	if want := []int{2, 1}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	if failures := (&verdict{TB: t}).judge(func() {}); len(failures) != 0 {
		t.Errorf("nothing broke: %q", failures)
	}
}

// TestRuleNames: deviations name rules, so no two may have one name.
func TestRuleNames(t *testing.T) {
	seen := map[string]bool{}
	for _, group := range slices.Concat(groups, rawGroups) {
		for _, rule := range group.rules {
			name := group.name + "/" + rule.name
			if seen[name] {
				t.Errorf("two rules are called %s", name)
			}
			seen[name] = true
			if !known(name) {
				t.Errorf("%s is not known", name)
			}
		}
	}
	if known("walk/no-such-rule") {
		t.Error("a rule that does not exist is known")
	}
}

// TestUntested: what a server cannot be held to is not put to it.
func TestUntested(t *testing.T) {
	runGroups(t, Server{Untested: map[string]string{"walk/onto-itself": "it does not outlive that"}}, []group{
		{"walk", []rule{{"onto-itself", func(*scope) { t.Error("the rule was put to the server") }}}, everyDialect},
	})
}
