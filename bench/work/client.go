package work

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/bench/measure"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
)

// Client is reads or writes by the 9P client alone, on a file below a fid: no kernel, no mount.
type Client struct {
	Shape
	Root  *ninep.Fid
	Name  string           // of the file to make
	Arena *transport.Arena // where the payload lies; nil: in memory of its own
}

// Open makes the file.
func (c Client) Open(ctx context.Context) (*Work, error) {
	slices, end, err := c.open(ctx, c.Root)
	if err != nil {
		return nil, err
	}
	return &Work{Slice: slices[0], Close: end}, nil
}

// OpenBoth makes the file and does the same work below two fids of one directory, by turns: on the same file, and from and to
// the same memory, so that nothing but the fids is different. end removes the file.
func (c Client) OpenBoth(ctx context.Context, other *ninep.Fid) (both [2]measure.Slice, end func() error, err error) {
	slices, end, err := c.open(ctx, c.Root, other)
	if err != nil {
		return both, nil, err
	}
	return [2]measure.Slice(slices), end, nil
}

// open makes the file below the first root, and work below each.
func (c Client) open(ctx context.Context, roots ...*ninep.Fid) (slices []measure.Slice, end func() error, err error) {
	memory, free, err := c.slots(ctx, max(c.InFlight, 1), c.Size)
	if err != nil {
		return nil, nil, err
	}
	var files []*ninep.Fid
	end = func() error {
		cleanup := context.WithoutCancel(ctx)
		var errs []error
		for _, f := range files {
			errs = append(errs, f.Clunk(cleanup))
		}
		return errors.Join(append(errs, c.Root.Unlink(cleanup, c.Name, false), free())...)
	}
	for i, root := range roots {
		var file *ninep.Fid
		if i == 0 {
			file, err = c.fill(ctx)
		} else {
			file, _, err = root.WalkOpen(ctx, c.Name, unix.O_RDWR, &ninep.OpenHints{})
		}
		if err != nil {
			return nil, nil, errors.Join(err, end())
		}
		files = append(files, file)
		slices = append(slices, c.slice(c.call(ctx, file, memory)))
	}
	return slices, end, nil
}

func (c Client) call(ctx context.Context, file *ninep.Fid, memory [][]byte) call {
	return func(worker int, offset int64) error {
		if c.Write {
			n, err := file.Write(ctx, memory[worker], offset)
			return whole("a write", n, c.Size, err)
		}
		n, err := file.Read(ctx, memory[worker], offset)
		return whole("a read", n, c.Size, err)
	}
}

// slots are n buffers of size bytes from the arena.
func (c Client) slots(ctx context.Context, n, size int) (list [][]byte, free func() error, err error) {
	if c.Arena == nil {
		return buffers(n, size)
	}
	var taken []*transport.Slot
	free = func() error {
		for _, s := range taken {
			s.Release()
		}
		return nil
	}
	for range n {
		s, err := c.Arena.Get(ctx, size)
		if err != nil {
			return nil, nil, errors.Join(err, free())
		}
		taken = append(taken, s)
		scribble(s.Bytes()[:size])
		list = append(list, s.Bytes()[:size:size])
	}
	return list, free, nil
}

// fill makes the file and returns its open fid.
func (c Client) fill(ctx context.Context) (*ninep.Fid, error) {
	file, err := c.Root.Walk(ctx)
	if err != nil {
		return nil, err
	}
	memory, free, err := c.slots(ctx, 1, int(min(c.Area, 1<<20)))
	if err != nil {
		return nil, err
	}
	defer free() //nolint:errcheck // only a wrong argument fails
	err = file.Create(ctx, c.Name, unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC, 0o600, 0)
	for offset := int64(0); err == nil && offset < c.Area; offset += int64(len(memory[0])) {
		_, err = file.Write(ctx, memory[0], offset)
	}
	if err != nil {
		file.Drop()
		return nil, fmt.Errorf("cannot make a file to measure with: %w", err)
	}
	return file, nil
}
