package bench

import (
	"context"
	"fmt"
	"slices"

	"github.com/csi-9p/csi-9p/bench/work"
)

// knobs are tables with a column for each value of a parameter, and the work that it has an effect on.
func (s *suite) knobs() []section {
	file := func(write bool, size, inFlight int) row {
		return s.file(work.File{Shape: work.Shape{Write: write, Size: size, InFlight: inFlight}, Direct: true})
	}
	read := func(size int) row { return s.file(work.File{Shape: work.Shape{Size: size}}) }
	write := func(size int) row { return s.file(work.File{Shape: work.Shape{Write: true, Size: size}}) }
	again := s.file(work.File{Shape: work.Shape{Random: true, Size: 4 << 10}, Warm: true})
	stat, trees := s.stat(1, false), s.trees()
	return []section{
		s.knob("msize", []string{"64Ki", "256Ki", "1Mi"}, file(false, 1<<20, 1), file(true, 1<<20, 1), read(64<<10)),
		s.knob("zeroCopy", []string{"off", "auto"}, file(false, 1<<20, 4), file(true, 1<<20, 4), file(false, 4<<10, 16)),
		s.knob("zeroCopyThreshold", []string{"0", "1024", "16Ki", "256Ki"}, file(true, 4<<10, 1), file(true, 16<<10, 1), file(true, 64<<10, 1)),
		s.knob("maxInFlight", []string{"256Ki", "1Mi", "4Mi", "16Mi"}, file(false, 64<<10, 16), file(false, 1<<20, 16), read(1<<20)),
		s.knob("readAhead", []string{"0", "128Ki", "1Mi", "4Mi"}, read(4<<10), read(64<<10)),
		s.knob("cache", []string{"none", "close-to-open", "loose"}, append(trees, read(64<<10), write(4<<10), again, stat)...),
		s.knob("attrTimeout", []string{"0", "1s", "1m"}, trees[1], stat),
		s.knob("dialect", []string{"9P2000.L", "9P2000.u", "9P2000"}, trees[0], trees[1], file(false, 1<<20, 4), stat),
	}
}

// knob is a table of one parameter's values. A value that cannot be mounted has no column, and a note says why.
func (s *suite) knob(parameter string, values []string, rows ...row) section {
	return section{title: parameter, columns: func(ctx context.Context, m *made) error {
		for _, value := range values {
			if err := s.mount(ctx, m, value, []string{parameter + "=" + value}, nil); err != nil {
				s.omit(parameter+"="+value, err)
			}
		}
		if len(m.subjects) == 0 {
			return fmt.Errorf("no value of %s can be mounted", parameter)
		}
		return nil
	}, rows: slices.Clone(rows)}
}
