package metrics_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/metrics"
)

// row is a metric as docs/metrics.md has it.
type row struct {
	name, kind, unit, meaning string
	labels                    []string
}

var quoted = regexp.MustCompile("`([^`]+)`")

// documented reads the tables of metrics.
func documented(t *testing.T) map[string]row {
	t.Helper()
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]row)
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(strings.ReplaceAll(line, `\|`, "/")), "|"), "|")
		if len(cells) < 5 || !strings.HasPrefix(cells[0], " `csi") {
			continue
		}
		r := row{name: strings.Trim(cells[0], " `"), kind: strings.TrimSpace(cells[1]), unit: strings.TrimSpace(cells[3]), meaning: strings.TrimSpace(cells[4])}
		for _, m := range quoted.FindAllStringSubmatch(cells[2], -1) {
			r.labels = append(r.labels, m[1])
		}
		if _, twice := rows[r.name]; twice {
			t.Errorf("%s is described twice", r.name)
		}
		rows[r.name] = r
	}
	return rows
}

// TestDocumentation: docs/metrics.md has every metric with its type, labels and unit, and no other.
func TestDocumentation(t *testing.T) {
	rows := documented(t)
	for _, d := range metrics.Definitions() {
		r, ok := rows[d.Name]
		delete(rows, d.Name)
		if !ok {
			t.Errorf("%s is not described", d.Name)
			continue
		}
		if r.kind != d.Kind || !slices.Equal(r.labels, d.Labels) || r.meaning == "" {
			t.Errorf("%s is a %s with labels %q, described as %+v", d.Name, d.Kind, d.Labels, r)
		}
		for _, unit := range []string{"seconds", "bytes"} {
			base := strings.TrimSuffix(d.Name, "_total")
			if (r.unit == unit) != (strings.HasSuffix(base, "_"+unit)) {
				t.Errorf("%s is described in %q", d.Name, r.unit)
			}
		}
	}
	for _, name := range []string{"csi9p_build_info", "csi_plugin_operations_seconds"} {
		if _, ok := rows[name]; !ok {
			t.Errorf("%s is not described", name)
		}
		delete(rows, name)
	}
	for name := range rows {
		t.Errorf("%s is described and does not exist", name)
	}
}

var own = regexp.MustCompile(`\bcsi9p_[a-z_]+[a-z]\b`)

// TestNamesInOtherPages: a page or a manifest that names a metric names one that there is.
func TestNamesInOtherPages(t *testing.T) {
	known := map[string]bool{"csi9p_build_info": true}
	for _, d := range metrics.Definitions() {
		known[d.Name] = true
		if d.Kind == "histogram" {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				known[d.Name+suffix] = true
			}
		}
	}
	seen := 0
	for _, pattern := range []string{"../docs/*.md", "../README.md", "../CHANGELOG.md", "../deploy/prometheus/*.yaml", "../deploy/grafana/*.json", "../deploy/charts/csi-9p/templates/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range own.FindAllString(string(text), -1) {
				seen++
				if !known[name] {
					t.Errorf("%s names %s, which does not exist", file, name)
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d names were found", seen)
	}
}
