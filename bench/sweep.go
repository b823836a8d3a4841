package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/csi-9p/csi-9p/bench/measure"
	"github.com/csi-9p/csi-9p/bench/report"
	"github.com/csi-9p/csi-9p/bench/rig"
	"github.com/csi-9p/csi-9p/bench/work"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
)

// pays is the ratio from which on one says that zero copy pays: below, it might be noise.
const pays = 1.03

// confidence is that of the intervals of a sweep's ratios.
const confidence = 0.95

// noLoss is the ratio from which on zero copy costs nothing that matters.
const noLoss = 0.97

// The tables of a sweep, whose columns are zero copy off and on.
const writes, reads = "Writes", "Reads"

// SweepOptions are what a sweep is asked for.
type SweepOptions struct {
	Options
	// Through is what is measured: "client", the 9P client by itself, or "mount", direct I/O on a mount. Empty: the client of a URL,
	// mounts of a directory.
	Through  string
	InFlight int
	Sizes    []int // bytes; nil: SweepSizes
	// AllowUnsafeDMA allows to drive a virtio device that no IOMMU stands before.
	AllowUnsafeDMA bool
}

// SweepSizes are the sizes of the measurement that brought zero copy to Linux's 9P client in 2011, and larger ones.
func SweepSizes() []int {
	return []int{1, 32, 64, 128, 256, 512, 1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20}
}

// opener opens one kind of work with zero copy off and on, and says what ends it.
type opener func(ctx context.Context, s work.Shape) (both [2]measure.Slice, end func() error, err error)

// sweep is one run.
type sweep struct {
	SweepOptions
	rig  *rig.Rig
	open opener
}

// Sweep writes and reads by I/O size with zero copy off and on.
func Sweep(ctx context.Context, o SweepOptions) (result *report.Report, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	r, url, target, err := o.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	s := &sweep{SweepOptions: o, rig: r}
	through := s.client
	if o.Through == "mount" {
		through = s.mount
	}
	var closeAll func() error
	if s.open, closeAll, err = through(ctx, url); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	target += map[string]string{"client": ", read and written by the client itself", "mount": ", mounted, read and written by direct I/O"}[o.Through]
	result = o.report("sweep", fmt.Sprintf("%s, %d in flight, with zero copy off and on", target, o.InFlight))
	for _, write := range []bool{true, false} {
		table, err := s.table(ctx, write)
		if err != nil {
			return nil, err
		}
		result.Tables = append(result.Tables, table)
		result.Notes = append(result.Notes, note(&table), resolution(&table))
	}
	result.Ratios = ratios(result.Tables, o.Sizes)
	return result, nil
}

func (o *SweepOptions) check() error {
	if err := o.Options.check(); err != nil {
		return err
	}
	if o.Sizes == nil {
		o.Sizes = SweepSizes()
	}
	for _, size := range o.Sizes {
		o.Area = max(o.Area, int64(size))
	}
	o.InFlight = max(o.InFlight, 1)
	switch {
	case o.Through == "" && o.served():
		o.Through = "client"
	case o.Through == "":
		o.Through = "mount"
	case o.Through == "mount" && strings.HasPrefix(o.Target, dial.Virtio+"://"):
		return fmt.Errorf("%w: a virtio device bears one mount, and two are compared; sweep through client", ErrUsage)
	case o.Through != "client" && o.Through != "mount":
		return fmt.Errorf("%w: what is swept through is client or mount, not %q", ErrUsage, o.Through)
	}
	return nil
}

// client is a session that both modes are measured on, with memory that its transport reaches: a device bears one session.
type client struct {
	session *ninep.Session
	aname   string
	arena   *transport.Arena
}

// connect opens the session.
func (o *SweepOptions) connect(ctx context.Context, url string) (*client, error) {
	memory := new(transport.Memory)
	session, aname, err := connect(ctx, url, dial.Options{Memory: memory, AllowUnsafeDMA: o.AllowUnsafeDMA})
	if err != nil {
		return nil, err
	}
	largest := max(slices.Max(o.Sizes), 1<<20)
	arena, err := transport.NewArena(transport.ArenaOptions{
		SlotSize: largest, Limit: int64(o.InFlight+1) * int64(largest), Memory: memory,
	})
	if err != nil {
		return nil, errors.Join(err, session.Close())
	}
	return &client{session: session, aname: aname, arena: arena}, nil
}

// client has both modes on one session: the same connection, the same processes.
func (s *sweep) client(ctx context.Context, url string) (opener, func() error, error) {
	c, err := s.connect(ctx, url)
	if err != nil {
		return nil, nil, err
	}
	var roots [2]*ninep.Fid
	for i, mode := range []ninep.ZeroCopy{ninep.ZeroCopyOff, ninep.ZeroCopyAuto} {
		if roots[i], err = c.session.Attach(ctx, ninep.AttachOptions{Aname: c.aname, ZeroCopy: mode}); err != nil {
			return nil, nil, errors.Join(err, c.close())
		}
	}
	name := fmt.Sprintf("csi-9p-bench-%d", os.Getpid())
	return func(ctx context.Context, shape work.Shape) ([2]measure.Slice, func() error, error) {
		return work.Client{Shape: shape, Root: roots[0], Name: name, Arena: c.arena}.OpenBoth(ctx, roots[1])
	}, c.close, nil
}

func (c *client) close() error { return errors.Join(c.session.Close(), c.arena.Close()) }

// connect opens a session with a share, and returns the tree to attach as well.
func connect(ctx context.Context, url string, o dial.Options) (*ninep.Session, string, error) {
	u, err := dial.Parse(url)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrUsage, err)
	}
	session, err := ninep.Open(ctx, ninep.Config{
		Dial:             func(ctx context.Context) (transport.Conn, error) { return dial.Dial(ctx, u, o) },
		ReconnectTimeout: -1,
	})
	if u.Aname == "" {
		u.Aname = "/"
	}
	return session, u.Aname, err
}

// mount mounts the share in both modes and makes a directory in it.
func (s *sweep) mount(ctx context.Context, url string) (opener, func() error, error) {
	var mounts [2]string
	for i, option := range []string{"zeroCopy=off", "zeroCopy=auto"} {
		var err error
		if mounts[i], _, err = s.rig.Mount(ctx, url, []string{option}); err != nil {
			return nil, nil, err
		}
	}
	dir, err := os.MkdirTemp(mounts[0], "csi-9p-bench-")
	if err != nil {
		return nil, nil, err
	}
	other := filepath.Join(mounts[1], filepath.Base(dir))
	return func(_ context.Context, shape work.Shape) ([2]measure.Slice, func() error, error) {
		return work.File{Shape: shape, Dir: dir, Direct: true}.OpenBoth(other)
	}, func() error { return os.Remove(dir) }, nil
}

func (s *sweep) table(ctx context.Context, write bool) (report.Table, error) {
	t := report.Table{Title: reads, First: "size", Columns: []string{"off", "on"}, Compared: &[2]int{1, 0}, Confidence: confidence}
	before := 0.5
	if write {
		t.Title, before = writes, 0
	}
	for i, size := range s.Sizes {
		s.Progress(t.Title+" of "+report.Size(int64(size)), before+0.5*float64(i)/float64(len(s.Sizes)))
		both, end, err := s.open(ctx, work.Shape{Write: write, Size: size, InFlight: s.InFlight, Area: s.Area})
		if err != nil {
			return t, err
		}
		off, on, err := measure.Pairs{Rounds: s.Rounds, Slice: s.Slice, CPU: s.rig.CPU}.Compare(ctx, both[0], both[1])
		if err := errors.Join(err, end()); err != nil {
			return t, err
		}
		t.Rows = append(t.Rows, report.Row{Name: report.Size(int64(size)), Unit: report.Bytes, Results: []*measure.Result{off, on}})
	}
	return t, nil
}

// note says from which size on zero copy pays at every size.
func note(t *report.Table) string {
	from := len(t.Rows)
	for from > 0 && ratioOf(t, from-1).Median >= pays {
		from--
	}
	if from == len(t.Rows) {
		return fmt.Sprintf("%s: zero copy does not pay here (%.2f or more, up to the largest size).", t.Title, pays)
	}
	return fmt.Sprintf("%s: zero copy pays from %s on (%.2f or more).", t.Title, t.Rows[from].Name, pays)
}

// resolution says how far the measurement tells ratios apart.
func resolution(t *report.Table) string {
	var rates, costs []float64
	half := func(r measure.Ratio) float64 {
		low, high, _ := r.Interval(confidence)
		return (high - low) / 2 / r.Median
	}
	for i, row := range t.Rows {
		rates = append(rates, half(ratioOf(t, i)))
		if c, ok := measure.CostRatioOf(row.Results[1], row.Results[0]); ok {
			costs = append(costs, half(c))
		}
	}
	text := fmt.Sprintf("%s: a ratio of rates is known to ±%.1f %% at the median size and ±%.1f %% at the worst", t.Title,
		100*measure.Quantile(rates, 0.5), 100*measure.Quantile(rates, 1))
	if len(costs) > 0 {
		text += fmt.Sprintf(", one of processor time to ±%.1f %% and ±%.1f %%", 100*measure.Quantile(costs, 0.5), 100*measure.Quantile(costs, 1))
	}
	return fmt.Sprintf("%s (%.0f %% confidence).", text, 100*confidence)
}

func ratioOf(t *report.Table, row int) measure.Ratio {
	return measure.RatioOf(t.Rows[row].Results[1], t.Rows[row].Results[0])
}

// ratios are those that zero copy is held to.
func ratios(tables []report.Table, sizes []int) []report.Requirement {
	// The least of many medians is below all of them by chance alone: what is said of it has to hold of all at once (Bonferroni).
	all := 1 - (1-confidence)/float64(2*len(sizes))
	var rates, costs, named []report.Requirement
	for i := range tables {
		t := &tables[i]
		for row, size := range sizes {
			require := func(name, why string, wanted float64, r measure.Ratio, confidence float64) report.Requirement {
				name = fmt.Sprintf("%s, %s of %s%s", name, strings.ToLower(t.Title), t.Rows[row].Name, why)
				return report.RequireSurely(name, wanted, r, confidence)
			}
			rate := ratioOf(t, row)
			rates = append(rates, require("zero copy on / off", ", the least of all sizes", noLoss, rate, all))
			if cost, ok := measure.CostRatioOf(t.Rows[row].Results[1], t.Rows[row].Results[0]); ok {
				costs = append(costs, require("processor time, zero copy off / on", ", the least of all sizes", noLoss, cost, all))
			}
			if wanted := map[int]float64{64 << 10: 1.1, 1 << 20: 1.3}[size]; wanted > 0 && t.Title == reads {
				named = append(named, require("zero copy on / off", "", wanted, rate, confidence))
			}
		}
	}
	return slices.Concat(worst(rates), worst(costs), named)
}

// worst is the one that is missed for certain and by the most, or else the least.
func worst(all []report.Requirement) []report.Requirement {
	if len(all) == 0 {
		return nil
	}
	return []report.Requirement{slices.MinFunc(all, func(a, b report.Requirement) int {
		if a.Missed != b.Missed {
			return map[bool]int{true: -1, false: 1}[a.Missed]
		}
		return cmp.Compare(a.Measured.Median, b.Measured.Median)
	})}
}
