package work

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/bench/measure"
)

// Metadata is work on the names of a directory, whose files are empty.
type Metadata struct {
	Dir      string
	Files    int
	InFlight int // of Stat; 0: one
}

// Stat asks for the attributes of files, at random, by path.
func (m Metadata) Stat() (*Work, error) {
	names, remove, err := m.make("stat")
	if err != nil {
		return nil, err
	}
	slice := func(ctx context.Context, length time.Duration) (measure.Sample, error) {
		return workers(ctx, max(m.InFlight, 1), length, 0, func(worker int) func() error {
			dice := rand.New(rand.NewPCG(uint64(worker), 2))
			var st unix.Stat_t
			return func() error { return failed("stat", unix.Lstat(names[dice.IntN(len(names))], &st)) }
		})
	}
	return &Work{Slice: slice, Close: remove}, nil
}

// Create creates and closes files until the time is up or there are as many as wanted.
func (m Metadata) Create() (*Work, error) {
	return &Work{Close: none, Slice: func(ctx context.Context, length time.Duration) (s measure.Sample, err error) {
		dir, names, err := m.directory("create")
		if err != nil {
			return s, err
		}
		s, err = count(ctx, length, int64(m.Files), func(i int64) error { return create(names[i]) })
		return s, errors.Join(err, removeAll(dir, names[:s.Operations]))
	}}, nil
}

// Unlink removes as many files as wanted.
func (m Metadata) Unlink() (*Work, error) {
	return &Work{Close: none, Slice: func(ctx context.Context, length time.Duration) (s measure.Sample, err error) {
		names, remove, err := m.make("unlink")
		if err != nil {
			return s, err
		}
		s, err = count(ctx, 10*length, int64(m.Files), func(i int64) error { return failed("unlink", unix.Unlink(names[i])) })
		return s, errors.Join(err, remove())
	}}, nil
}

// List reads the directory, again and again, and counts its entries; with stat it asks for the attributes of each, as ls -l
// does. A pass that takes too long is cut short.
func (m Metadata) List(stat bool) (*Work, error) {
	names, remove, err := m.make("list")
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(names[0])
	slice := func(ctx context.Context, length time.Duration) (s measure.Sample, err error) {
		begin := time.Now()
		for now := begin; err == nil && now.Sub(begin) < length && ctx.Err() == nil; now = time.Now() {
			err = batches(dir, func(names []string) error {
				var st unix.Stat_t
				for i := 0; stat && i < len(names); i++ {
					if err := unix.Lstat(dir+"/"+names[i], &st); err != nil {
						return failed("stat", err)
					}
				}
				s.Operations += int64(len(names))
				if time.Since(begin) > 10*length || ctx.Err() != nil {
					return errEnough
				}
				return nil
			})
		}
		s.Elapsed = time.Since(begin)
		if errors.Is(err, errEnough) {
			err = nil
		}
		return s, err
	}
	return &Work{Slice: slice, Close: remove}, nil
}

// errEnough ends a pass over a directory.
var errEnough = errors.New("enough")

func none() error { return nil }

// directory makes an empty directory and names for the files in it.
func (m Metadata) directory(name string) (dir string, names []string, err error) {
	dir = filepath.Join(m.Dir, name)
	for i := range m.Files {
		names = append(names, fmt.Sprintf("%s/file-%05d", dir, i))
	}
	return dir, names, os.Mkdir(dir, 0o755)
}

// make makes a directory of files. What removes it again does not mind those that are gone.
func (m Metadata) make(name string) (names []string, remove func() error, err error) {
	dir, names, err := m.directory(name)
	for i := 0; err == nil && i < m.Files; i++ {
		err = create(names[i])
	}
	return names, func() error { return removeAll(dir, names) }, err
}

func create(path string) error {
	fd, err := open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func removeAll(dir string, names []string) error {
	for _, name := range names {
		if err := unix.Unlink(name); err != nil && !errors.Is(err, unix.ENOENT) {
			return failed("unlink", err)
		}
	}
	return os.Remove(dir)
}

// list returns the names in a directory, but for . and .. .
func list(dir string) (all []string, err error) {
	err = batches(dir, func(names []string) error {
		all = append(all, names...)
		return nil
	})
	return all, err
}

// batches reads a directory and hands out the names in it as they come, but for . and .. .
func batches(dir string, each func(names []string) error) error {
	fd, err := open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	buf := make([]byte, 32<<10) // as the C library does
	var names []string
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil || n <= 0 {
			return errors.Join(failed("getdents", err), unix.Close(fd))
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names[:0])
		if err := each(names); err != nil {
			return errors.Join(err, unix.Close(fd))
		}
	}
}

func failed(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
