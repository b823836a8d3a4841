package bench

import (
	"context"
	"fmt"

	"github.com/csi-9p/csi-9p/bench/report"
	"github.com/csi-9p/csi-9p/bench/work"
)

// perList is how many times as many files a directory to list has as others.
const perList = 10

// sections are the tables of a suite, in order.
func (s *suite) sections() []section {
	return append([]section{
		{title: "Direct I/O", latency: true, columns: s.standard, rows: s.direct()},
		{title: "Through the page cache", columns: s.standard, rows: s.buffered()},
		{title: "Metadata", latency: true, columns: s.standard, rows: s.metadata()},
		{title: "Small files", columns: s.standard, rows: s.trees()},
		s.fairness(),
	}, s.knobs()...)
}

// file is reads or writes of a file. What bypasses the page cache, and what is to be on the server when a write returns, is done
// where nothing is held back.
func (s *suite) file(f work.File) row {
	return s.fileAt(f, func(at subject) string {
		if f.Direct || f.Write {
			return at.direct
		}
		return at.Dir
	})
}

// gathered is writes that may gather in memory until fsync.
func (s *suite) gathered(f work.File) row {
	r := s.fileAt(f, func(at subject) string { return at.gathering })
	r.name += ", gathered"
	return r
}

// fileAt is reads or writes of a file in a directory of the column.
func (s *suite) fileAt(f work.File, where func(subject) string) row {
	f.Area = s.Area
	way := map[bool]string{false: "sequential", true: "random"}[f.Random]
	name := fmt.Sprintf("%s, %s %s", map[bool]string{false: "read", true: "write"}[f.Write], way, report.Size(int64(f.Size)))
	if f.Direct {
		name += fmt.Sprintf(", %d in flight", f.InFlight)
	}
	if f.Warm {
		name += ", again"
	}
	return row{name: name, unit: report.Bytes, open: func(_ context.Context, at subject) func() (*work.Work, error) {
		if at.peer != nil {
			copied := *at.peer
			copied.Shape = f.Shape
			if !f.Direct { // the page cache asks for more than one at a time
				copied.Size, copied.InFlight = 1<<20, 2
			}
			return copied.Open
		}
		f := f
		f.Dir = where(at)
		return f.Open
	}}
}

func (s *suite) direct() (rows []row) {
	for _, write := range []bool{false, true} {
		for _, random := range []bool{false, true} {
			for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
				for _, inFlight := range []int{1, 4, 16} {
					shape := work.Shape{Write: write, Random: random, Size: size, InFlight: inFlight}
					rows = append(rows, s.file(work.File{Shape: shape, Direct: true}))
				}
			}
		}
	}
	return rows
}

func (s *suite) buffered() (rows []row) {
	sizes := []int{4 << 10, 64 << 10, 1 << 20}
	for _, write := range []bool{false, true} {
		for _, size := range sizes {
			rows = append(rows, s.file(work.File{Shape: work.Shape{Write: write, Size: size}}))
		}
	}
	for _, size := range sizes {
		rows = append(rows, s.gathered(work.File{Shape: work.Shape{Write: true, Size: size}}))
	}
	return append(rows, s.file(work.File{Shape: work.Shape{Random: true, Size: 4 << 10}}))
}

// names is work on names, on the mount without cached attributes if uncached.
func names(name string, uncached bool, open func(dir string) (*work.Work, error)) row {
	return row{name: name, unit: report.Operations, open: func(_ context.Context, at subject) func() (*work.Work, error) {
		if at.peer != nil {
			return nil
		}
		dir := at.Dir
		if uncached {
			dir = at.Uncached
		}
		return func() (*work.Work, error) { return open(dir) }
	}}
}

// stat is a storm of stat calls.
func (s *suite) stat(inFlight int, uncached bool) row {
	return names(fmt.Sprintf("stat, %d in flight", inFlight), uncached, func(dir string) (*work.Work, error) {
		return work.Metadata{Dir: dir, Files: s.Files, InFlight: inFlight}.Stat()
	})
}

func (s *suite) create() row {
	return names("create", false, func(dir string) (*work.Work, error) { return work.Metadata{Dir: dir, Files: s.Files}.Create() })
}

// list lists a large directory, with the attributes of its entries if stat.
func (s *suite) list(stat bool) row {
	files := perList * s.Files
	name := fmt.Sprintf("entries of %d listed", files)
	if stat {
		name += " with attributes"
	}
	return names(name, true, func(dir string) (*work.Work, error) { return work.Metadata{Dir: dir, Files: files}.List(stat) })
}

func (s *suite) metadata() []row {
	unlink := names("unlink", false, func(dir string) (*work.Work, error) { return work.Metadata{Dir: dir, Files: s.Files}.Unlink() })
	return []row{s.stat(1, true), s.stat(16, true), s.create(), unlink, s.list(false), s.list(true)}
}

func (s *suite) trees() (rows []row) {
	for _, kind := range []struct {
		name string
		open func(work.Tree) (*work.Work, error)
	}{{"unpacked", work.Tree.Unpack}, {"read", work.Tree.Read}, {"removed", work.Tree.Remove}} {
		rows = append(rows, names(fmt.Sprintf("tree of %d files %s", s.Files, kind.name), false, func(dir string) (*work.Work, error) {
			return kind.open(work.Tree{Dir: dir, Files: s.Files})
		}))
	}
	return rows
}
