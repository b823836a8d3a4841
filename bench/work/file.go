package work

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/bench/measure"
)

// File is reads or writes of one file of a directory.
type File struct {
	Shape
	Dir string
	// Direct bypasses the page cache (O_DIRECT). Without it a slice is one pass over the area, which reads find out of the cache of
	// this mount, and which writes end with fsync.
	Direct bool
	// Warm leaves what was read in the page cache, for the next slice to find.
	Warm bool
}

// Open makes the file. Its content is written through the page cache.
func (f File) Open() (*Work, error) {
	slices, end, err := f.open(f.Dir)
	if err != nil {
		return nil, err
	}
	return &Work{Slice: slices[0], Close: end}, nil
}

// OpenBoth makes the file and does the same work by two mounts of its directory, by turns: on the same file, and from and to
// the same memory, so that nothing but the mounts is different. end removes the file.
func (f File) OpenBoth(other string) (both [2]measure.Slice, end func() error, err error) {
	slices, end, err := f.open(f.Dir, other)
	if err != nil {
		return both, nil, err
	}
	return [2]measure.Slice(slices), end, nil
}

// open makes the file in the first directory, and work in each.
func (f File) open(dirs ...string) (slices []measure.Slice, end func() error, err error) {
	const name = "io"
	if err := fill(filepath.Join(dirs[0], name), f.Area); err != nil {
		return nil, nil, err
	}
	memory, free, err := buffers(max(f.InFlight, 1), f.Size)
	if err != nil {
		return nil, nil, err
	}
	var fds []int
	end = func() error {
		var errs []error
		for _, fd := range fds {
			errs = append(errs, unix.Close(fd))
		}
		return errors.Join(append(errs, free(), os.Remove(filepath.Join(dirs[0], name)))...)
	}
	for _, dir := range dirs {
		fd, err := open(filepath.Join(dir, name), f.flags())
		if err != nil {
			return nil, nil, errors.Join(err, end())
		}
		fds = append(fds, fd)
		slice := f.slice(f.call(fd, memory))
		if !f.Direct {
			slice = f.passes(fd, memory)
		}
		slices = append(slices, slice)
	}
	return slices, end, nil
}

func (f File) flags() int {
	flags := unix.O_RDONLY
	if f.Write {
		flags = unix.O_WRONLY
	}
	if f.Direct {
		flags |= unix.O_DIRECT
	}
	return flags
}

func (f File) call(fd int, memory [][]byte) call {
	if f.Write {
		return func(worker int, offset int64) error {
			n, err := unix.Pwrite(fd, memory[worker], offset)
			return whole("a write", n, f.Size, err)
		}
	}
	return func(worker int, offset int64) error {
		n, err := unix.Pread(fd, memory[worker], offset)
		return whole("a read", n, f.Size, err)
	}
}

// passes is buffered work: each slice touches each block of the area once, whatever time that takes, up to ten slices'.
func (f File) passes(fd int, memory [][]byte) measure.Slice {
	call := f.call(fd, memory)
	return func(ctx context.Context, length time.Duration) (measure.Sample, error) {
		if !f.Write && !f.Warm {
			if err := unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED); err != nil {
				return measure.Sample{}, fmt.Errorf("fadvise: %w", err)
			}
		}
		next := (&steps{shape: f.Shape}).source(0)
		sample, err := count(ctx, 10*length, f.blocks(), func(int64) error { return call(0, next()) })
		if err == nil && f.Write {
			begin := time.Now()
			err = unix.Fsync(fd)
			sample.Elapsed += time.Since(begin)
		}
		sample.Bytes = sample.Operations * int64(f.Size)
		return sample, err
	}
}

// count repeats an operation n times, or until the time is up, and times it.
func count(ctx context.Context, limit time.Duration, n int64, operation func(i int64) error) (s measure.Sample, err error) {
	begin := time.Now()
	for now := begin; s.Operations < n && (s.Operations == 0 || now.Sub(begin) < limit && ctx.Err() == nil); {
		if err := operation(s.Operations); err != nil {
			return s, err
		}
		done := time.Now()
		s.Latencies.Add(done.Sub(now))
		s.Operations++
		now = done
	}
	s.Elapsed = time.Since(begin)
	return s, nil
}

// fill makes a file of so many bytes, all of them written and on their way to the server.
func fill(path string, size int64) error {
	const block = 1 << 20
	memory, free, err := buffers(1, block)
	if err != nil {
		return err
	}
	defer free() //nolint:errcheck // only a wrong argument fails
	fd, err := open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC)
	if err != nil {
		return err
	}
	for offset := int64(0); err == nil && offset < size; offset += block {
		want := int(min(block, size-offset))
		var n int
		n, err = unix.Pwrite(fd, memory[0][:want], offset)
		err = whole("a write to "+path, n, want, err)
	}
	if err == nil {
		err = unix.Fsync(fd)
	}
	return errors.Join(err, unix.Close(fd))
}

func open(path string, flags int) (int, error) {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}
