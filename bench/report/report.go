// Package report shows what a bench has measured: as text for people, which is Markdown, as JSON, and as plots (SVG).
package report

import (
	"encoding/json"
	"io"
	"time"

	"github.com/csi-9p/csi-9p/bench/measure"
)

// Report is what one run of a bench found.
type Report struct {
	Bench   string        `json:"bench"`  // "sweep", "suite"
	Target  string        `json:"target"` // what was measured, in words
	Machine Machine       `json:"machine"`
	Rounds  int           `json:"rounds"`
	Slice   time.Duration `json:"sliceNanoseconds"`
	Tables  []Table       `json:"tables"`
	Notes   []string      `json:"notes,omitempty"`
	Ratios  []Requirement `json:"ratios,omitempty"`
}

// Table has a column for each thing compared and a row for each kind of work.
type Table struct {
	Title   string   `json:"title"`
	First   string   `json:"firstColumn"` // heading of the rows' names
	Columns []string `json:"columns"`
	Rows    []Row    `json:"rows"`
	// Compared are two columns, by index, whose ratio is a further column: the first by the second.
	Compared *[2]int `json:"compared,omitempty"`
	// Confidence is that of the interval shown of the ratio's median, from 0 to 1; 0: the quartiles are shown.
	Confidence float64 `json:"confidence,omitempty"`
	// Latency asks for a second table, of latencies.
	Latency bool `json:"-"`
}

// Unit is what a row counts in a second.
type Unit string

// The units.
const (
	Bytes      Unit = "bytes/s"
	Operations Unit = "operations/s"
)

// Row is the results of one kind of work, one a column; nil where it was not done.
type Row struct {
	Name    string            `json:"name"`
	Unit    Unit              `json:"unit"`
	Results []*measure.Result `json:"results"`
}

// Cell finds a result, by the name of its column; nil if there is none.
func (t *Table) Cell(row *Row, column string) *measure.Result {
	for i, c := range t.Columns {
		if c == column && i < len(row.Results) {
			return row.Results[i]
		}
	}
	return nil
}

// Requirement is a ratio that should be at least so much.
type Requirement struct {
	Name     string         `json:"name"`
	Wanted   float64        `json:"wanted"`
	Measured *measure.Ratio `json:"measured"` // nil: there was nothing to compare with
	Met      bool           `json:"met"`
	Missed   bool           `json:"missed"`            // it is not met, and that is no chance
	Missing  string         `json:"missing,omitempty"` // what there was not
}

// Require says whether a, divided by b, is as much as wanted. Without one of them it is not met, and why is missing.
func Require(name string, wanted float64, a, b *measure.Result, missing string) Requirement {
	if a == nil || b == nil {
		return Requirement{Name: name, Wanted: wanted, Missing: missing}
	}
	ratio := measure.RatioOf(a, b)
	met := ratio.Median >= wanted
	return Requirement{Name: name, Wanted: wanted, Measured: &ratio, Met: met, Missed: !met}
}

// RequireSurely says whether a ratio is as much as wanted. It is missed when all of its median's interval lies below that.
// Low and High of what was measured are the interval.
func RequireSurely(name string, wanted float64, r measure.Ratio, confidence float64) Requirement {
	var ok bool
	r.Low, r.High, ok = r.Interval(confidence)
	return Requirement{Name: name, Wanted: wanted, Measured: &r, Met: r.Median >= wanted, Missed: ok && r.High < wanted}
}

// WriteJSON writes the report for machines.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
