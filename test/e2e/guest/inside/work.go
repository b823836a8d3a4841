package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/e2e/guest/ratio"
)

// work is something that file systems are compared by.
type work struct {
	name, unit string
	systems    []string
	do         func(dir string) (amount float64, err error) // how much was done, in what unit counts a second
	after      func(dir string) error                       // what is not to be timed
}

// The files that work is done on.
const (
	readFile    = "read"
	writtenFile = "written"
	treeDir     = "tree"
	treeFiles   = 415
	smallArea   = 8 << 20  // what is read and written 4 KiB at a time
	area        = 64 << 20 // what is, in larger blocks; the size of the file that is read
)

var (
	everywhere = []string{closeToOpen, loose, none, v9fsNone, v9fsMmap, v9fsLoose, virtiofs}
	uncached   = []string{none, noneCopied, v9fsNone}
)

// works are all of the work.
var works = []work{
	{name: "sequential read, 4 KiB blocks", unit: "MB/s", systems: everywhere, do: sequentialRead(4<<10, smallArea)},
	{name: "sequential write, 4 KiB blocks", unit: "MB/s", systems: everywhere, do: sequentialWrite(4<<10, smallArea), after: removeWritten},
	{name: "sequential read, 64 KiB blocks", unit: "MB/s", systems: everywhere, do: sequentialRead(64<<10, area)},
	{name: "sequential write, 64 KiB blocks", unit: "MB/s", systems: everywhere, do: sequentialWrite(64<<10, area), after: removeWritten},
	{name: "direct read, 64 KiB blocks", unit: "MB/s", systems: uncached, do: direct(64<<10, 1, false)},
	{name: "direct write, 64 KiB blocks", unit: "MB/s", systems: uncached, do: direct(64<<10, 1, true)},
	{name: "direct read, 1 MiB blocks", unit: "MB/s", systems: uncached, do: direct(1<<20, 1, false)},
	{name: "direct write, 1 MiB blocks", unit: "MB/s", systems: uncached, do: direct(1<<20, 1, true)},
	{name: "direct read, 1 MiB blocks, 4 in flight", unit: "MB/s", systems: uncached, do: direct(1<<20, 4, false)},
	{name: "direct write, 1 MiB blocks, 4 in flight", unit: "MB/s", systems: uncached, do: direct(1<<20, 4, true)},
	{name: "names of a tree, cold", unit: "files/s", systems: everywhere, do: walkTree(func(string, fs.DirEntry) error { return nil })},
	{name: "attributes of a tree, cold", unit: "files/s", systems: everywhere, do: walkTree(func(_ string, d fs.DirEntry) error {
		_, err := d.Info()
		return err
	})},
	{name: "content of a tree, cold", unit: "files/s", systems: everywhere, do: walkTree(func(path string, d fs.DirEntry) error {
		if !d.Type().IsRegular() {
			return nil
		}
		_, err := os.ReadFile(path)
		return err
	})},
}

// goals are the ratios that are wanted. Each compares like with like, as far as there is like.
var goals = []ratio.Goal{
	{Work: "sequential read, 4 KiB blocks", Ours: closeToOpen, Against: v9fsNone, AtLeast: 3},
	{Work: "sequential read, 4 KiB blocks", Ours: closeToOpen, Against: v9fsMmap, AtLeast: 3},
	{Work: "sequential write, 4 KiB blocks", Ours: loose, Against: v9fsLoose, AtLeast: 1},
	{Work: "sequential write, 4 KiB blocks", Ours: loose, Against: virtiofs, AtLeast: 1},
	{Work: "sequential read, 64 KiB blocks", Ours: loose, Against: v9fsLoose, AtLeast: 1},
	{Work: "sequential read, 64 KiB blocks", Ours: loose, Against: virtiofs, AtLeast: 1},
	{Work: "sequential write, 64 KiB blocks", Ours: loose, Against: v9fsLoose, AtLeast: 1},
	{Work: "sequential write, 64 KiB blocks", Ours: loose, Against: virtiofs, AtLeast: 1},
	{Work: "sequential read, 64 KiB blocks", Ours: closeToOpen, Against: v9fsNone, AtLeast: 0.8},
	{Work: "direct read, 1 MiB blocks, 4 in flight", Ours: none, Against: v9fsNone, AtLeast: 0.6},
	{Work: "direct write, 1 MiB blocks, 4 in flight", Ours: none, Against: v9fsNone, AtLeast: 0.6},
	{Work: "names of a tree, cold", Ours: closeToOpen, Against: v9fsNone, AtLeast: 3},
	{Work: "names of a tree, cold", Ours: closeToOpen, Against: virtiofs, AtLeast: 0.8},
	{Work: "attributes of a tree, cold", Ours: closeToOpen, Against: v9fsNone, AtLeast: 3},
	{Work: "attributes of a tree, cold", Ours: closeToOpen, Against: virtiofs, AtLeast: 0.8},
	{Work: "content of a tree, cold", Ours: closeToOpen, Against: v9fsNone, AtLeast: 3},
	{Work: "content of a tree, cold", Ours: closeToOpen, Against: virtiofs, AtLeast: 0.8},
	{Work: "direct read, 64 KiB blocks", Ours: none, Against: noneCopied, AtLeast: 1.1},
	{Work: "direct write, 64 KiB blocks", Ours: none, Against: noneCopied, AtLeast: 1.1},
	{Work: "direct read, 1 MiB blocks", Ours: none, Against: noneCopied, AtLeast: 1.1},
	{Work: "direct write, 1 MiB blocks", Ours: none, Against: noneCopied, AtLeast: 1.1},
}

// prepareWork makes the files that are read.
func prepareWork(dir string) error {
	if _, err := writeRandom(filepath.Join(dir, readFile), area); err != nil {
		return err
	}
	tree := filepath.Join(dir, treeDir)
	return errors.Join(os.Mkdir(tree, 0o755), growTree(tree, treeFiles))
}

const megabyte = 1e6

// sequentialRead reads the first of a file through the page cache, if there is one.
func sequentialRead(block, size int) func(string) (float64, error) {
	return func(dir string) (float64, error) {
		f, err := os.Open(filepath.Join(dir, readFile))
		if err != nil {
			return 0, err
		}
		defer f.Close()
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{io.LimitReader(f, int64(size))}, make([]byte, block))
		if err == nil && n != int64(size) {
			err = io.ErrUnexpectedEOF
		}
		return float64(n) / megabyte, err
	}
}

// sequentialWrite writes a new file, which is on the server when it returns.
func sequentialWrite(block, size int) func(string) (float64, error) {
	return func(dir string) (float64, error) {
		f, err := os.Create(filepath.Join(dir, writtenFile))
		if err != nil {
			return 0, err
		}
		content := make([]byte, block)
		for at := 0; err == nil && at < size; at += block {
			_, err = f.Write(content)
		}
		return float64(size) / megabyte, errors.Join(err, f.Sync(), f.Close())
	}
}

func removeWritten(dir string) error { return os.Remove(filepath.Join(dir, writtenFile)) }

// direct reads or writes the file whole without the page cache, some blocks at a time.
func direct(block, inFlight int, write bool) func(string) (float64, error) {
	return func(dir string) (float64, error) {
		f, err := os.OpenFile(filepath.Join(dir, readFile), os.O_RDWR|unix.O_DIRECT, 0)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		var next atomic.Int64
		var all sync.WaitGroup
		errs := make([]error, inFlight)
		for i := range inFlight {
			all.Go(func() { errs[i] = directBlocks(f, &next, block, write) })
		}
		all.Wait()
		return area / megabyte, errors.Join(errs...)
	}
}

// directBlocks takes blocks of a file until there are no more.
func directBlocks(f *os.File, next *atomic.Int64, block int, write bool) error {
	buffer, err := unix.Mmap(-1, 0, block, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
	if err != nil {
		return err
	}
	defer unix.Munmap(buffer)
	for {
		at := (next.Add(1) - 1) * int64(block)
		if at >= area {
			return nil
		}
		if write {
			_, err = f.WriteAt(buffer, at)
		} else {
			_, err = f.ReadAt(buffer, at)
		}
		if err != nil {
			return err
		}
	}
}

// walkTree visits all of the tree.
func walkTree(visit func(path string, d fs.DirEntry) error) func(string) (float64, error) {
	return func(dir string) (float64, error) {
		var n float64
		err := filepath.WalkDir(filepath.Join(dir, treeDir), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			n++
			return visit(path, d)
		})
		return n, err
	}
}
