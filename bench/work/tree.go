package work

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/bench/measure"
)

const (
	// perDirectory is how many files each directory of a tree has.
	perDirectory = 25
	// largest is the size of a tree's largest files; the others are spread evenly below.
	largest = 16 << 10
)

// Tree is work on a tree of small files, such as sources have. A slice does the whole tree, however long that takes, and
// counts files.
type Tree struct {
	Dir   string
	Files int
}

// Unpack makes the tree as tar does: each file is made, written, and given its time.
func (t Tree) Unpack() (*Work, error) {
	return &Work{Close: none, Slice: func(ctx context.Context, _ time.Duration) (measure.Sample, error) {
		sample, err := t.unpack(ctx)
		return sample, errors.Join(err, t.remove())
	}}, nil
}

// Read lists the tree and reads every file. Its data is not in the page cache of this mount before.
func (t Tree) Read() (*Work, error) {
	if _, err := t.unpack(context.Background()); err != nil {
		return nil, errors.Join(err, t.remove())
	}
	buf := make([]byte, largest)
	return &Work{Close: t.remove, Slice: func(ctx context.Context, _ time.Duration) (measure.Sample, error) {
		if err := t.each(forget); err != nil {
			return measure.Sample{}, err
		}
		return t.timed(ctx, func(path string) error { return read(path, buf) })
	}}, nil
}

// Remove lists and removes the tree.
func (t Tree) Remove() (*Work, error) {
	return &Work{Close: none, Slice: func(ctx context.Context, _ time.Duration) (measure.Sample, error) {
		if _, err := t.unpack(ctx); err != nil {
			return measure.Sample{}, errors.Join(err, t.remove())
		}
		begin := time.Now()
		err := t.remove()
		return measure.Sample{Operations: int64(t.Files), Elapsed: time.Since(begin)}, err
	}}, nil
}

func (t Tree) root() string { return filepath.Join(t.Dir, "tree") }

func (t Tree) unpack(ctx context.Context) (measure.Sample, error) {
	dice := rand.New(rand.NewPCG(3, 3))
	content := make([]byte, largest)
	begin := time.Now()
	err := failed("mkdir", unix.Mkdir(t.root(), 0o755))
	for i := 0; err == nil && i < t.Files; i++ {
		dir := fmt.Sprintf("%s/d%d", t.root(), i/perDirectory)
		if i%perDirectory == 0 {
			err = failed("mkdir", unix.Mkdir(dir, 0o755))
		}
		if err == nil {
			err = unpack(fmt.Sprintf("%s/f%d", dir, i), content[:1+dice.IntN(largest)])
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}
	return measure.Sample{Operations: int64(t.Files), Elapsed: time.Since(begin)}, err
}

func unpack(path string, content []byte) error {
	fd, err := open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	n, err := unix.Write(fd, content)
	if err = errors.Join(whole("a write to "+path, n, len(content), err), unix.Close(fd)); err != nil {
		return err
	}
	then := unix.NsecToTimespec(1e18)
	return failed("utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{then, then}, unix.AT_SYMLINK_NOFOLLOW))
}

// each lists the tree and does something to every file.
func (t Tree) each(do func(path string) error) error {
	dirs, err := list(t.root())
	for i := 0; err == nil && i < len(dirs); i++ {
		dir := filepath.Join(t.root(), dirs[i])
		var files []string
		files, err = list(dir)
		for j := 0; err == nil && j < len(files); j++ {
			err = do(dir + "/" + files[j])
		}
	}
	return err
}

func (t Tree) timed(ctx context.Context, do func(path string) error) (s measure.Sample, err error) {
	begin := time.Now()
	err = t.each(func(path string) error {
		s.Operations++
		return errors.Join(do(path), ctx.Err())
	})
	s.Elapsed = time.Since(begin)
	return s, err
}

func read(path string, buf []byte) error {
	fd, err := open(path, unix.O_RDONLY)
	if err != nil {
		return err
	}
	n := 1
	for err == nil && n > 0 {
		n, err = unix.Read(fd, buf)
	}
	return errors.Join(failed("read", err), unix.Close(fd))
}

// forget has the kernel drop a file's data from the page cache.
func forget(path string) error {
	fd, err := open(path, unix.O_RDONLY)
	if err != nil {
		return err
	}
	return errors.Join(failed("fadvise", unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED)), unix.Close(fd))
}

func (t Tree) remove() error {
	dirs, err := list(t.root())
	for i := 0; err == nil && i < len(dirs); i++ {
		dir := filepath.Join(t.root(), dirs[i])
		var files []string
		files, err = list(dir)
		for j := 0; err == nil && j < len(files); j++ {
			err = failed("unlink", unix.Unlink(dir+"/"+files[j]))
		}
		if err == nil {
			err = failed("rmdir", unix.Rmdir(dir))
		}
	}
	if err != nil {
		return err
	}
	return failed("rmdir", unix.Rmdir(t.root()))
}
