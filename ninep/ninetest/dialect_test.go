package ninetest

import "testing"

func TestUnsaidRulesExist(t *testing.T) {
	for name := range unsaid {
		if !known(name) {
			t.Errorf("%q names no rule", name)
		}
	}
}
