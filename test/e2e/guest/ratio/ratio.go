// Package ratio compares file systems that did the same work in turns.
package ratio

import (
	"fmt"
	"slices"
	"strings"
)

// Row is one kind of work.
type Row struct {
	Work  string               // "sequential read, 4 KiB blocks"
	Unit  string               // of the rates: "MB/s", "files/s"
	Rates map[string][]float64 // of each system, a rate a round; more is better
}

// Goal is a ratio that a row should show.
type Goal struct {
	Work          string
	Ours, Against string // names of systems
	AtLeast       float64
}

// Table is what was measured.
type Table struct {
	About   string   // where, in a sentence
	Systems []string // in the order of the columns
	Rows    []Row
	Goals   []Goal
}

// quartile returns the value that n quarters of the values are not above. There is at least one value.
func quartile(values []float64, n int) float64 {
	sorted := slices.Sorted(slices.Values(values))
	at := float64(len(sorted)-1) * float64(n) / 4
	below := int(at)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (at-float64(below))*(sorted[above]-sorted[below])
}

// ratios are those of the rounds.
func (r Row) ratios(g Goal) []float64 {
	ours, against := r.Rates[g.Ours], r.Rates[g.Against]
	var all []float64
	for i := range min(len(ours), len(against)) {
		all = append(all, ours[i]/against[i])
	}
	return all
}

// Markdown is the table as text: a row a kind of work, then a row a goal.
func (t Table) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n| work | unit | %s |\n|---|---|%s\n", t.About, strings.Join(t.Systems, " | "), strings.Repeat("---:|", len(t.Systems)))
	for _, row := range t.Rows {
		fmt.Fprintf(&b, "| %s | %s |", row.Work, row.Unit)
		for _, system := range t.Systems {
			b.WriteString(" " + cell(row.Rates[system]) + " |")
		}
		b.WriteString("\n")
	}
	b.WriteString("\n| work | ours | against | at least | measured | met |\n|---|---|---|---:|---:|---:|\n")
	for _, g := range t.Goals {
		measured, met := t.outcome(g)
		fmt.Fprintf(&b, "| %s | %s | %s | %.1f | %s | %s |\n", g.Work, g.Ours, g.Against, g.AtLeast, measured, met)
	}
	return b.String()
}

func cell(rates []float64) string {
	if len(rates) == 0 {
		return "-"
	}
	m, decimals := quartile(rates, 2), 0
	if m < 100 {
		decimals = 1
	}
	return fmt.Sprintf("%.*f", decimals, m)
}

// outcome is a goal's ratio, the median of the rounds' own with the quartiles, and whether it is met.
func (t Table) outcome(g Goal) (measured, met string) {
	i := slices.IndexFunc(t.Rows, func(r Row) bool { return r.Work == g.Work })
	if i < 0 {
		return "-", "-"
	}
	all := t.Rows[i].ratios(g)
	if len(all) == 0 {
		return "-", "-"
	}
	met = "**no**"
	if quartile(all, 2) >= g.AtLeast {
		met = "yes"
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", quartile(all, 2), quartile(all, 1), quartile(all, 3)), met
}
