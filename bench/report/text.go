package report

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/csi-9p/csi-9p/bench/measure"
)

// WriteText writes the report for people, in Markdown whose tables are aligned.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. Medians of %d interleaved rounds, ± half the distance of the quartiles. %s.\n", r.Target, r.Rounds, r.Machine)
	for _, t := range r.Tables {
		fmt.Fprintf(&b, "\n### %s\n\n", t.Title)
		t.rates().write(&b)
		if t.Latency {
			fmt.Fprintf(&b, "\nLatency: median / 99th / 99.9th percentile.\n\n")
			t.latencies().write(&b)
		}
	}
	if len(r.Notes) > 0 {
		b.WriteString("\n### Notes\n\n")
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	if len(r.Ratios) > 0 {
		b.WriteString("\n### Ratios\n\n")
		r.ratios().write(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// grid is the cells of a table, its heading first.
type grid [][]string

func (t *Table) rates() grid {
	heading := append([]string{t.First}, t.Columns...)
	if t.Compared != nil {
		heading = append(heading, t.Columns[t.Compared[0]]+" / "+t.Columns[t.Compared[1]])
	}
	if t.costs() {
		heading = append(heading, "processor time, "+t.Columns[t.Compared[1]]+" / "+t.Columns[t.Compared[0]])
	}
	g := grid{heading}
	for _, row := range t.Rows {
		line := []string{row.Name}
		for _, r := range row.Results {
			line = append(line, rate(row.Unit, r))
		}
		if t.Compared != nil {
			line = append(line, t.compared(&row))
		}
		if t.costs() {
			cost, _ := measure.CostRatioOf(row.Results[t.Compared[0]], row.Results[t.Compared[1]])
			line = append(line, t.ratio(cost))
		}
		g = append(g, line)
	}
	return g
}

func (t *Table) latencies() grid {
	g := grid{append([]string{t.First}, t.Columns...)}
	for _, row := range t.Rows {
		line := []string{row.Name}
		for _, r := range row.Results {
			if r == nil || r.Latency.P50 == 0 {
				line = append(line, "–")
				continue
			}
			line = append(line, fmt.Sprintf("%s / %s / %s", latency(r.Latency.P50), latency(r.Latency.P99), latency(r.Latency.P999)))
		}
		g = append(g, line)
	}
	return g
}

func (r *Report) ratios() grid {
	g := grid{{"ratio", "at least", "measured", "met"}}
	for _, q := range r.Ratios {
		measured, met := "– ("+q.Missing+")", "–"
		if q.Measured != nil {
			measured = ratio(*q.Measured)
			switch {
			case q.Met:
				met = "yes"
			case q.Missed:
				met = "**no**"
			default:
				met = "can't tell"
			}
		}
		g = append(g, []string{q.Name, fmt.Sprint(q.Wanted), measured, met})
	}
	return g
}

// write writes a table of Markdown: the first column to the left, the others to the right.
func (g grid) write(b *strings.Builder) {
	widths := make([]int, len(g[0]))
	for _, line := range g {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, line := range g {
		for i, cell := range line {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString("| " + cell + pad + " |")
			} else {
				b.WriteString(" " + pad + cell + " |")
			}
		}
		b.WriteByte('\n')
		if n > 0 {
			continue
		}
		for i, width := range widths {
			if i == 0 {
				b.WriteString("|" + strings.Repeat("-", width+2) + "|")
			} else {
				b.WriteString(strings.Repeat("-", width+1) + ":|")
			}
		}
		b.WriteByte('\n')
	}
}

func rate(u Unit, r *measure.Result) string {
	if r == nil {
		return "–"
	}
	unit := "/s"
	if u == Bytes {
		unit = "B/s"
	}
	return fmt.Sprintf("%s%s ±%.0f%%", scaled(r.Median), unit, 100*r.Spread())
}

// scaled is a number with three digits and what it is multiplied with, a power of 1000.
func scaled(v float64) string {
	prefix := ""
	for _, next := range []string{" k", " M", " G"} {
		if v < 999.5 {
			break
		}
		v, prefix = v/1000, next
	}
	if prefix == "" {
		prefix = " "
	}
	switch {
	case v < 9.995:
		return fmt.Sprintf("%.2f%s", v, prefix)
	case v < 99.95:
		return fmt.Sprintf("%.1f%s", v, prefix)
	}
	return fmt.Sprintf("%.0f%s", v, prefix)
}

func latency(nanoseconds int64) string {
	d := time.Duration(nanoseconds)
	switch {
	case d < 10*time.Microsecond:
		return fmt.Sprintf("%.1f µs", float64(d)/1e3)
	case d < time.Millisecond:
		return fmt.Sprintf("%.0f µs", float64(d)/1e3)
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.0f ms", float64(d)/1e6)
}

func (t *Table) compared(row *Row) string {
	a, b := row.Results[t.Compared[0]], row.Results[t.Compared[1]]
	if a == nil || b == nil {
		return "–"
	}
	return t.ratio(measure.RatioOf(a, b))
}

// costs reports whether processor time was measured.
func (t *Table) costs() bool {
	return t.Compared != nil && len(t.Rows) > 0 && t.Rows[0].Results[0] != nil && len(t.Rows[0].Results[0].Costs) > 0
}

// ratio has the interval that the table wants.
func (t *Table) ratio(r measure.Ratio) string {
	if t.Confidence > 0 {
		r.Low, r.High, _ = r.Interval(t.Confidence)
	}
	return ratio(r)
}

// ratio is the median, and the quartiles or its interval in parentheses.
func ratio(r measure.Ratio) string { return fmt.Sprintf("%.2f (%.2f–%.2f)", r.Median, r.Low, r.High) }

// Size is a number of bytes with a unit, a power of 1024.
func Size(n int64) string {
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if n < 1024 || n%1024 != 0 {
			return fmt.Sprintf("%d %s", n, unit)
		}
		n /= 1024
	}
	return fmt.Sprintf("%d GiB", n)
}
