package bench

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/csi-9p/csi-9p/bench/report"
	"github.com/csi-9p/csi-9p/bench/rig"
	"github.com/csi-9p/csi-9p/bench/work"
)

// SuiteOptions are what a suite is asked for.
type SuiteOptions struct {
	Options
	// Against are file systems to measure beside the mount.
	Against []Baseline
	// Run selects rows by "table: row"; nil: all.
	Run *regexp.Regexp
	// Files is how many files metadata is measured with; a directory to list has ten times as many.
	Files int
}

// Baseline is a file system that is mounted already.
type Baseline struct {
	Name string
	Dir  string
	// Uncached is the same file system mounted without a cache of attributes and names, and with writes that are done when they
	// return; empty: Dir.
	Uncached string
}

// suite is one run.
type suite struct {
	SuiteOptions
	rig    *rig.Rig
	url    string
	report *report.Report
	done   int // rows
	rows   int // in all
}

// Suite measures the mount of a share beside what else there is.
func Suite(ctx context.Context, o SuiteOptions) (result *report.Report, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	r, url, target, err := o.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	s := &suite{SuiteOptions: o, rig: r, url: url, report: o.report("suite", target)}
	sections := s.sections()
	s.count(sections)
	if s.rows == 0 {
		return nil, fmt.Errorf("%w: no row matches %q", ErrUsage, o.Run)
	}
	for _, section := range sections {
		if err := s.measure(ctx, section); err != nil {
			return nil, err
		}
	}
	s.report.Ratios = s.ratios()
	return s.report, nil
}

func (o *SuiteOptions) check() error {
	if err := o.Options.check(); err != nil {
		return err
	}
	if o.Files < 1 {
		return fmt.Errorf("%w: metadata without files is not measured", ErrUsage)
	}
	seen := map[string]bool{ours: true, oursRing: true, local: !o.served(), plain: true, kernel: true}
	for i, b := range o.Against {
		if seen[b.Name] || b.Name == "" {
			return fmt.Errorf("%w: there are two columns %q", ErrUsage, b.Name)
		}
		seen[b.Name] = true
		if b.Uncached == "" {
			o.Against[i].Uncached = b.Dir
		}
	}
	return nil
}

// section is one table: its columns are made for it alone, and are gone before the next.
type section struct {
	title   string
	latency bool
	columns func(ctx context.Context, made *made) error
	rows    []row
}

// row is one kind of work. open returns nil where that work is not to be had.
type row struct {
	name string
	unit report.Unit
	open func(ctx context.Context, s subject) func() (*work.Work, error)
}

// count leaves the rows in that are asked for, and counts them.
func (s *suite) count(sections []section) {
	for i := range sections {
		var kept []row
		for _, r := range sections[i].rows {
			if s.Run == nil || s.Run.MatchString(sections[i].title+": "+r.name) {
				kept = append(kept, r)
			}
		}
		sections[i].rows = kept
		s.rows += len(kept)
	}
}

func (s *suite) measure(ctx context.Context, section section) (err error) {
	if len(section.rows) == 0 {
		return nil
	}
	var m made
	defer func() { err = errors.Join(err, m.close()) }()
	if err := section.columns(ctx, &m); err != nil {
		return err
	}
	table := report.Table{Title: section.title, First: "work", Latency: section.latency}
	for _, subject := range m.subjects {
		table.Columns = append(table.Columns, subject.Name)
	}
	for _, r := range section.rows {
		var open []func() (*work.Work, error)
		for _, subject := range m.subjects {
			open = append(open, r.open(ctx, subject))
		}
		results := s.compare(ctx, section.title+": "+r.name, float64(s.done)/float64(s.rows), open)
		s.done++
		for i, result := range results {
			if result == nil || result.Err == nil {
				continue
			}
			s.omit(fmt.Sprintf("%s, %s: %s", section.title, table.Columns[i], r.name), result.Err)
			results[i] = nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		table.Rows = append(table.Rows, report.Row{Name: r.name, Unit: r.unit, Results: results})
	}
	s.report.Tables = append(s.report.Tables, table)
	return nil
}
