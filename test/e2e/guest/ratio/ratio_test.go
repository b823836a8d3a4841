package ratio_test

import (
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/test/e2e/guest/ratio"
)

func TestRatiosAreOfRoundsAndNotOfMedians(t *testing.T) {
	table := ratio.Table{
		About: "Somewhere.", Systems: []string{"a", "b", "c"},
		Rows: []ratio.Row{{Work: "read", Unit: "MB/s", Rates: map[string][]float64{"a": {10, 400, 30}, "b": {5, 100, 20}}}},
		Goals: []ratio.Goal{
			{Work: "read", Ours: "a", Against: "b", AtLeast: 2},
			{Work: "read", Ours: "b", Against: "a", AtLeast: 2},
			{Work: "read", Ours: "a", Against: "c", AtLeast: 2},
			{Work: "write", Ours: "a", Against: "b", AtLeast: 2},
		},
	}
	got := table.Markdown()
	for _, want := range []string{
		"| read | MB/s | 30.0 | 20.0 | - |",
		"| read | a | b | 2.0 | 2.00 (1.75–3.00) | yes |",
		"| read | b | a | 2.0 | 0.50 (0.38–0.58) | **no** |",
		"| read | a | c | 2.0 | - | - |",
		"| write | a | b | 2.0 | - | - |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}
