package docs_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestComparison makes sure that docs/comparison.md shows a source for whatever it says of another project, at a
// revision that does not move, and that the table of README.md says the same.
func TestComparison(t *testing.T) {
	p := readPage(t, "docs/comparison.md")
	source := regexp.MustCompile(`^\[[^\]]+\]\[[^\]]+\]$`)
	said := map[string][]string{}
	for _, row := range slices.Concat(p.table(t, "## Storage"), p.table(t, "## Operation")) {
		for _, cell := range row[2:] {
			if cell != "–" && !source.MatchString(cell) {
				t.Errorf("%s: %q has no source", row[0], cell)
			}
		}
		said[row[0]] = plain(row)
	}
	for _, l := range p.lines {
		m := definition.FindStringSubmatch(l.text)
		if m != nil && !regexp.MustCompile(`/(blob|tree)/([0-9a-f]{40}|v\d+\.\d+)/|^https://man7\.org/`).MatchString(m[2]) {
			t.Errorf("%s is no revision that stays: %s", m[1], m[2])
		}
	}
	for _, row := range readPage(t, "README.md").table(t, "csi-driver-nfs") {
		if !slices.Equal(said[row[0]], plain(row)) {
			t.Errorf("README.md says %q, docs/comparison.md %q", plain(row), said[row[0]])
		}
	}
}

// plain returns a row without its links.
func plain(row []string) []string {
	var all []string
	for _, cell := range row {
		all = append(all, strings.TrimSpace(linked.ReplaceAllString(cell, "$1")))
	}
	return all
}
