package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

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

// The columns that the suite makes by itself.
const (
	ours     = "csi-9p"
	oursRing = "csi-9p, io_uring"
	local    = "local"
	plain    = "plain copy"
	kernel   = "kernel 9p"
)

// subject is one column: a file system's directories, the peer that copies, or work of its own.
type subject struct {
	Baseline
	direct string // where direct I/O is done
	peer   *work.Plain
	open   func() (*work.Work, error)
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
	r, err := rig.New(o.Program)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	s := &suite{SuiteOptions: o, rig: r}
	url, target, err := o.share(ctx, r)
	if err != nil {
		return nil, err
	}
	s.url, s.report = url, o.report("suite", target)
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

// made are the columns of a section, and what takes them down again.
type made struct {
	subjects []subject
	ends     []func() error
}

func (m *made) add(s subject) { m.subjects = append(m.subjects, s) }

// close takes down the latest first.
func (m *made) close() error {
	var errs []error
	for i := len(m.ends) - 1; i >= 0; i-- {
		errs = append(errs, m.ends[i]())
	}
	return errors.Join(errs...)
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

// standard are the columns of the tables that compare the mount with other file systems.
func (s *suite) standard(ctx context.Context, m *made) error {
	if err := s.mount(ctx, m, ours, nil, []string{"cache=none"}); err != nil {
		return err
	}
	if err := s.mount(ctx, m, oursRing, nil, []string{"cache=none"}, "--io-uring=require"); err != nil {
		s.omit(oursRing, err)
	}
	if !s.served() {
		if err := m.in(Baseline{Name: local, Dir: s.Target, Uncached: s.Target}); err != nil {
			return err
		}
	}
	for _, b := range s.Against {
		if err := m.in(b); err != nil {
			return fmt.Errorf("--against %s: %w", b.Name, err)
		}
	}
	if err := s.kernel(m); err != nil {
		s.omit(kernel, err)
	}
	return s.peer(ctx, m)
}

// omit notes, once, that a column is not there.
func (s *suite) omit(name string, why error) {
	note := fmt.Sprintf("Not measured: %s: %v.", name, why)
	for _, n := range s.report.Notes {
		if n == note {
			return
		}
	}
	s.report.Notes = append(s.report.Notes, note)
}

// mount adds a mount with some options, and one with more of them for the work that no cached attribute may answer.
func (s *suite) mount(ctx context.Context, m *made, name string, options, uncached []string, flags ...string) error {
	dir, unmount, err := s.rig.Mount(ctx, s.url, options, flags...)
	if err != nil {
		return err
	}
	m.ends = append(m.ends, unmount)
	b := Baseline{Name: name, Dir: dir, Uncached: dir}
	if uncached != nil {
		if b.Uncached, unmount, err = s.rig.Mount(ctx, s.url, append(uncached, options...), flags...); err != nil {
			return err
		}
		m.ends = append(m.ends, unmount)
	}
	if err := m.in(b); err != nil {
		return err
	}
	added := &m.subjects[len(m.subjects)-1]
	added.direct = added.Dir // it needs no special mount to bypass caches
	return nil
}

// in adds a file system, and makes a directory in it to work in.
func (m *made) in(b Baseline) error {
	dir, err := os.MkdirTemp(b.Dir, "csi-9p-bench-")
	if err != nil {
		return err
	}
	m.ends = append(m.ends, func() error { return os.RemoveAll(dir) })
	uncached := dir
	if b.Uncached != b.Dir {
		if uncached, err = os.MkdirTemp(b.Uncached, "csi-9p-bench-"); err != nil {
			return err
		}
		m.ends = append(m.ends, func() error { return os.RemoveAll(uncached) })
	}
	m.add(subject{Baseline: Baseline{Name: b.Name, Dir: dir, Uncached: uncached}, direct: uncached})
	return nil
}

// kernel adds mounts by the kernel's own client, if it has one.
func (s *suite) kernel(m *made) error {
	b := Baseline{Name: kernel}
	for _, mount := range []struct {
		dir   *string
		cache string
	}{{&b.Dir, "readahead"}, {&b.Uncached, "none"}} {
		dir, unmount, err := s.rig.MountKernel(s.url, mount.cache)
		if err != nil {
			return err
		}
		*mount.dir = dir
		m.ends = append(m.ends, unmount)
	}
	return m.in(b)
}

// peer adds the plain copy, over the kind of socket that the share is at.
func (s *suite) peer(ctx context.Context, m *made) error {
	transport := s.Transport
	if s.served() {
		transport, _, _ = strings.Cut(s.url, ":")
	}
	url, err := s.rig.Serve(ctx, transport, "bench", "peer")
	if err != nil {
		s.omit(plain, err)
		return nil
	}
	network, address, _ := strings.Cut(url, "://")
	m.add(subject{Baseline: Baseline{Name: plain}, peer: &work.Plain{Network: network, Address: address}})
	return nil
}
