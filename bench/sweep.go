package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
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

// opener opens one kind of work on one thing.
type opener func(ctx context.Context, s work.Shape) (*work.Work, error)

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
	openers, closeAll, err := o.openers(ctx, r, url)
	defer func() { err = errors.Join(err, closeAll()) }()
	if err != nil {
		return nil, err
	}
	target += map[string]string{"client": ", read and written by the client itself", "mount": ", mounted, read and written by direct I/O"}[o.Through]
	result = o.report("sweep", fmt.Sprintf("%s, %d in flight, with zero copy off and on", target, o.InFlight))
	for _, write := range []bool{true, false} {
		table, err := o.table(ctx, write, openers)
		if err != nil {
			return nil, err
		}
		result.Tables = append(result.Tables, table)
		result.Notes = append(result.Notes, o.note(&table))
	}
	result.Ratios = o.ratios(result.Tables)
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

// openers returns the two things compared: zero copy off and on. closeAll is never nil.
func (o *SweepOptions) openers(ctx context.Context, r *rig.Rig, url string) (both [2]opener, closeAll func() error, err error) {
	var closers []func() error
	closeAll = func() error {
		var errs []error
		for _, f := range closers {
			errs = append(errs, f())
		}
		return errors.Join(errs...)
	}
	open := o.mount
	if o.Through == "client" {
		c, err := o.connect(ctx, url)
		if err != nil {
			return both, closeAll, err
		}
		closers = append(closers, c.close)
		open = c.open
	}
	for i, mode := range []ninep.ZeroCopy{ninep.ZeroCopyOff, ninep.ZeroCopyAuto} {
		var closer func() error
		if both[i], closer, err = open(ctx, r, url, mode); err != nil {
			return both, closeAll, err
		}
		closers = append(closers, closer)
	}
	return both, closeAll, nil
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

// open attaches in one mode.
func (c *client) open(ctx context.Context, _ *rig.Rig, _ string, mode ninep.ZeroCopy) (opener, func() error, error) {
	root, err := c.session.Attach(ctx, ninep.AttachOptions{Aname: c.aname, ZeroCopy: mode})
	if err != nil {
		return nil, nil, err
	}
	name := fmt.Sprintf("csi-9p-bench-%d-%d", os.Getpid(), mode)
	return func(ctx context.Context, s work.Shape) (*work.Work, error) {
		return work.Client{Shape: s, Root: root, Name: name, Arena: c.arena}.Open(ctx)
	}, func() error { return nil }, nil // the session's end is the fid's
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

// mount mounts the share and makes a directory in it.
func (o *SweepOptions) mount(ctx context.Context, r *rig.Rig, url string, mode ninep.ZeroCopy) (opener, func() error, error) {
	option := map[ninep.ZeroCopy]string{ninep.ZeroCopyOff: "zeroCopy=off", ninep.ZeroCopyAuto: "zeroCopy=auto"}[mode]
	mounted, _, err := r.Mount(ctx, url, []string{option})
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp(mounted, "csi-9p-bench-")
	if err != nil {
		return nil, nil, err
	}
	return func(_ context.Context, s work.Shape) (*work.Work, error) {
		return work.File{Shape: s, Dir: dir, Direct: true}.Open()
	}, func() error { return os.Remove(dir) }, nil
}

func (o *SweepOptions) table(ctx context.Context, write bool, openers [2]opener) (report.Table, error) {
	t := report.Table{Title: reads, First: "size", Columns: []string{"off", "on"}, Compared: &[2]int{1, 0}}
	before := 0.5
	if write {
		t.Title, before = writes, 0
	}
	for i, size := range o.Sizes {
		var open []func() (*work.Work, error)
		for _, f := range openers {
			open = append(open, func() (*work.Work, error) {
				return f(ctx, work.Shape{Write: write, Size: size, InFlight: o.InFlight, Area: o.Area})
			})
		}
		done := before + 0.5*float64(i)/float64(len(o.Sizes))
		results := o.compare(ctx, t.Title+" of "+report.Size(int64(size)), done, open)
		if err := errors.Join(results[0].Err, results[1].Err); err != nil {
			return t, err
		}
		t.Rows = append(t.Rows, report.Row{Name: report.Size(int64(size)), Unit: report.Bytes, Results: results})
	}
	return t, nil
}

// note says from which size on zero copy pays at every size.
func (o *SweepOptions) note(t *report.Table) string {
	from := len(t.Rows)
	for from > 0 && ratioOf(t, from-1).Median >= pays {
		from--
	}
	if from == len(t.Rows) {
		return fmt.Sprintf("%s: zero copy does not pay here (%.2f or more, up to the largest size).", t.Title, pays)
	}
	return fmt.Sprintf("%s: zero copy pays from %s on (%.2f or more).", t.Title, t.Rows[from].Name, pays)
}

func ratioOf(t *report.Table, row int) measure.Ratio {
	return measure.RatioOf(t.Rows[row].Results[1], t.Rows[row].Results[0])
}

// ratios are those that zero copy is held to.
func (o *SweepOptions) ratios(tables []report.Table) []report.Requirement {
	require := func(t *report.Table, row int, wanted float64, why string) report.Requirement {
		name := fmt.Sprintf("zero copy on / off, %s of %s%s", strings.ToLower(t.Title), t.Rows[row].Name, why)
		return report.Require(name, wanted, t.Rows[row].Results[1], t.Rows[row].Results[0], "")
	}
	var worst report.Requirement
	var all []report.Requirement
	for i := range tables {
		for row, size := range o.Sizes {
			q := require(&tables[i], row, 0.97, ", the least of all sizes")
			if worst.Measured == nil || q.Measured.Median < worst.Measured.Median {
				worst = q
			}
			if wanted := map[int]float64{64 << 10: 1.1, 1 << 20: 1.3}[size]; wanted > 0 && tables[i].Title == reads {
				all = append(all, require(&tables[i], row, wanted, ""))
			}
		}
	}
	return append([]report.Requirement{worst}, all...)
}
