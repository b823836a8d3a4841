// Package report tells what a run of the lab showed: a line a case on the terminal as it ends, and all of it as JUnit
// XML for continuous integration.
package report

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// Outcome is how a case ended.
type Outcome int

// The outcomes.
const (
	Passed Outcome = iota
	Failed
	Skipped
)

func (o Outcome) String() string { return [...]string{"ok", "FAIL", "skip"}[o] }

// Case is one thing that was tried.
type Case struct {
	Suite    string
	Name     string
	About    string // what it shows, in a line; may be empty
	Outcome  Outcome
	Reason   string // of a failure or of not running
	Output   string // log
	Duration time.Duration
}

// End returns the case as it ended, now, by the error of a step that began at started.
func (c Case) End(started time.Time, err error) Case {
	c.Duration = time.Since(started)
	if err != nil {
		c.Outcome, c.Reason = Failed, err.Error()
	}
	return c
}

// Report collects cases. It is safe for concurrent use.
type Report struct {
	out io.Writer

	mu    sync.Mutex
	cases []Case
	notes []string
}

// New returns a report that writes its lines to out.
func New(out io.Writer) *Report { return &Report{out: out} }

// Note says something that a reader of the outcome must know.
func (r *Report) Note(format string, args ...any) {
	note := fmt.Sprintf(format, args...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, note)
	fmt.Fprintf(r.out, "note: %s\n", note)
}

// Progress says what happens now, on the terminal only.
func (r *Report) Progress(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, format+"\n", args...)
}

// Add adds a case and tells of it. A failure is told with its log.
func (r *Report) Add(c Case) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cases = append(r.cases, c)
	line := fmt.Sprintf("%-4s %6.1fs  %s/%s", c.Outcome, c.Duration.Seconds(), c.Suite, c.Name)
	if c.About != "" {
		line += ": " + c.About
	}
	fmt.Fprintln(r.out, line)
	if c.Reason != "" {
		fmt.Fprintln(r.out, indent(c.Reason))
	}
	if c.Outcome == Failed && c.Output != "" {
		fmt.Fprintln(r.out, indent(c.Output))
	}
}

func indent(s string) string {
	return "     | " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n     | ")
}

// Failed reports whether a case failed.
func (r *Report) Failed() bool {
	_, failed, _ := r.count()
	return failed > 0
}

func (r *Report) count() (passed, failed, skipped int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.cases {
		switch c.Outcome {
		case Passed:
			passed++
		case Failed:
			failed++
		case Skipped:
			skipped++
		}
	}
	return passed, failed, skipped
}

// Summary tells what failed, and how many did not.
func (r *Report) Summary() {
	passed, failed, skipped := r.count()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.cases {
		if c.Outcome == Failed {
			fmt.Fprintf(r.out, "FAIL %s/%s\n", c.Suite, c.Name)
		}
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", passed, failed, skipped)
}

// The elements of JUnit's XML, as the readers of continuous integration systems take it
// (https://github.com/testmoapp/junitxml).
type (
	xmlSuites struct {
		XMLName xml.Name   `xml:"testsuites"`
		Suites  []xmlSuite `xml:"testsuite"`
	}
	xmlSuite struct {
		Name       string        `xml:"name,attr"`
		Tests      int           `xml:"tests,attr"`
		Failures   int           `xml:"failures,attr"`
		Skipped    int           `xml:"skipped,attr"`
		Time       string        `xml:"time,attr"`
		Properties []xmlProperty `xml:"properties>property,omitempty"`
		Cases      []xmlCase     `xml:"testcase"`
	}
	xmlProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	xmlCase struct {
		Name    string     `xml:"name,attr"`
		Class   string     `xml:"classname,attr"`
		Time    string     `xml:"time,attr"`
		Failure *xmlReason `xml:"failure"`
		Skipped *xmlReason `xml:"skipped"`
		Output  string     `xml:"system-out,omitempty"`
	}
	xmlReason struct {
		Message string `xml:"message,attr"`
	}
)

// WriteJUnit writes the report as JUnit XML, a test suite for each suite, in the order in which they began.
func (r *Report) WriteJUnit(w io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all xmlSuites
	index := map[string]int{}
	total := map[string]time.Duration{}
	for _, c := range r.cases {
		i, ok := index[c.Suite]
		if !ok {
			i = len(all.Suites)
			index[c.Suite] = i
			all.Suites = append(all.Suites, xmlSuite{Name: c.Suite})
			for _, note := range r.notes {
				all.Suites[i].Properties = append(all.Suites[i].Properties, xmlProperty{Name: "note", Value: note})
			}
		}
		s := &all.Suites[i]
		s.Tests++
		x := xmlCase{Name: c.Name, Class: c.Suite, Time: seconds(c.Duration), Output: c.Output}
		switch c.Outcome {
		case Failed:
			s.Failures++
			x.Failure = &xmlReason{Message: c.Reason}
		case Skipped:
			s.Skipped++
			x.Skipped = &xmlReason{Message: c.Reason}
		}
		s.Cases = append(s.Cases, x)
		total[c.Suite] += c.Duration
		s.Time = seconds(total[c.Suite])
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	return e.Encode(all)
}

// Save writes the report as JUnit XML to a file.
func (r *Report) Save(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(r.WriteJUnit(f), f.Close())
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
