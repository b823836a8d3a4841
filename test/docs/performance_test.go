package docs_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestFigures makes sure that README.md says nothing of csi-9p's speed that docs/performance.md, whose tables are measured,
// does not bear out.
func TestFigures(t *testing.T) {
	measured := readPage(t, "docs/performance.md")
	for _, row := range readPage(t, "README.md").table(t, "| work | beside |") {
		work, beside := row[0], row[1]
		claimed := leading(t, row[2])
		switch got, found := measured.ratio(t, work, beside); {
		case !found:
			t.Errorf("docs/performance.md has no %q beside %q", work, beside)
		case got < claimed:
			t.Errorf("README.md says that %q is %s, docs/performance.md %.2f", work, row[2], got)
		}
	}
}

// ratio is how many times as fast csi-9p does the work as what is beside it: of the first table with rates of both, or what a row
// of ratios says of the work itself.
func (p page) ratio(t *testing.T, work, beside string) (ratio float64, found bool) {
	t.Helper()
	var columns map[string]int
	for _, l := range p.lines {
		if !strings.HasPrefix(l.text, "|") {
			columns = nil
			continue
		}
		row := cells(l.text)
		if columns == nil {
			columns = make(map[string]int)
			for i, name := range row {
				columns[name] = i
			}
			continue
		}
		if row[0] != work {
			continue
		}
		if i, is := columns["measured"]; is {
			return leading(t, row[i]), true
		}
		ours, we := columns["csi-9p"]
		theirs, they := columns[beside]
		if we && they {
			return rate(t, row[ours]) / rate(t, row[theirs]), true
		}
	}
	return 0, false
}

// leading reads the number that a cell begins with.
func leading(t *testing.T, cell string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(strings.Fields(cell)[0], 64)
	if err != nil {
		t.Fatalf("%q begins with no number", cell)
	}
	return n
}

var quantity = regexp.MustCompile(`^([\d.]+) ([kMG]?)B?/s`)

// rate reads a cell such as "4.68 GB/s ±3%".
func rate(t *testing.T, cell string) float64 {
	t.Helper()
	m := quantity.FindStringSubmatch(cell)
	if m == nil {
		t.Fatalf("%q is no rate", cell)
	}
	return leading(t, m[1]) * map[string]float64{"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[m[2]]
}
