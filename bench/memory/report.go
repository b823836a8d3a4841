package memory

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/csi-9p/csi-9p/bench/report"
)

// Report is what a run found.
type Report struct {
	Bench   string         `json:"bench"` // "memory"
	Machine report.Machine `json:"machine"`
	States  []State        `json:"states"`
	Limits  []Limit        `json:"limits"`
}

// Limit is a number of bytes that should not be more than so many.
type Limit struct {
	Name     string `json:"name"`
	Most     int64  `json:"mostBytes"`
	Measured int64  `json:"measuredBytes"`
	Met      bool   `json:"met"`
}

// Met reports whether every limit is.
func (r *Report) Met() bool {
	for _, l := range r.Limits {
		if !l.Met {
			return false
		}
	}
	return true
}

// judge compares the states with the limits. Their order is that of run.
func (b *bench) judge() {
	one, used, warm, opened, again, mounted := b.report.States[0], b.report.States[2], b.report.States[3], b.report.States[4],
		b.report.States[5], b.report.States[6]
	for _, l := range []Limit{
		{Name: fmt.Sprintf("%d volumes, at any time", used.Volumes-1), Most: mostResident, Measured: mounted.Peak},
		{Name: "a volume, used and idle", Most: mostIdle, Measured: (used.Resident - one.Resident) / int64(used.Volumes-1)},
		{Name: fmt.Sprintf("growth over %d opens", b.Opens-b.Opens/warmUp), Most: mostGrowth, Measured: opened.Resident - warm.Resident},
		{Name: fmt.Sprintf("growth over %d mounts", b.Mounts-b.Mounts/warmUp), Most: mostGrowth, Measured: mounted.Resident - again.Resident},
	} {
		l.Met = l.Measured <= l.Most
		b.report.Limits = append(b.report.Limits, l)
	}
}

// WriteJSON writes the report for machines.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteText writes the report for people, in Markdown.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Volumes mounted on one session, in one process. %s.\n\n", r.Machine)
	line := func(cells ...string) {
		fmt.Fprintf(&b, "| %-22s |", cells[0])
		for _, c := range cells[1:] {
			fmt.Fprintf(&b, " %10s |", c)
		}
		b.WriteByte('\n')
	}
	line("after", "volumes", "resident", "peak", "heap", "stacks", "goroutines", "files")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, s := range r.States {
		line(s.Name, fmt.Sprint(s.Volumes), size(s.Resident), size(s.Peak), size(s.Heap), size(s.Stacks),
			fmt.Sprint(s.Goroutines), fmt.Sprint(s.Files))
	}
	b.WriteByte('\n')
	line("memory of", "at most", "measured", "met")
	b.WriteString("|---|--:|--:|--:|\n")
	for _, l := range r.Limits {
		line(l.Name, size(l.Most), size(l.Measured), map[bool]string{true: "yes", false: "no"}[l.Met])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// size is bytes for people.
func size(n int64) string {
	if n < 1<<20 && n > -1<<20 {
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
