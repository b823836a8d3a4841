package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

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
	treeFiles   = 80
	area        = 32 << 20 // the size of the file that is read, and the most that is written
)

// slice is how long reading or writing goes on, unless the file ends.
const slice = 300 * time.Millisecond

var (
	everywhere = []string{closeToOpen, loose, none, v9fsNone, v9fsMmap, v9fsLoose, virtiofs}
	uncached   = []string{none, noneCopied, v9fsNone}
)

// works are all of the work.
var works = []work{
	{name: "sequential read, 4 KiB blocks", unit: "MB/s", systems: everywhere, do: sequentialRead(4 << 10)},
	{name: "sequential write, 4 KiB blocks", unit: "MB/s", systems: everywhere, do: sequentialWrite(4 << 10), after: removeWritten},
	{name: "sequential read, 64 KiB blocks", unit: "MB/s", systems: everywhere, do: sequentialRead(64 << 10)},
	{name: "sequential write, 64 KiB blocks", unit: "MB/s", systems: everywhere, do: sequentialWrite(64 << 10), after: removeWritten},
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
	block := make([]byte, 1<<20)
	if _, err := rand.Read(block); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, readFile), bytes.Repeat(block, area/len(block)), 0o644); err != nil {
		return err
	}
	tree := filepath.Join(dir, treeDir)
	return errors.Join(os.Mkdir(tree, 0o755), growTree(tree, treeFiles, 8<<10))
}

const megabyte = 1e6

// sequentialRead reads the first of a file through the page cache, if there is one.
func sequentialRead(block int) func(string) (float64, error) {
	return func(dir string) (float64, error) {
		f, err := os.Open(filepath.Join(dir, readFile))
		if err != nil {
			return 0, err
		}
		defer f.Close()
		return upTo(block, func(b []byte) error {
			_, err := io.ReadFull(f, b)
			return err
		})
	}
}

// sequentialWrite writes a new file, which is on the server when it returns.
func sequentialWrite(block int) func(string) (float64, error) {
	return func(dir string) (float64, error) {
		f, err := os.Create(filepath.Join(dir, writtenFile))
		if err != nil {
			return 0, err
		}
		amount, err := upTo(block, func(b []byte) error {
			_, err := f.Write(b)
			return err
		})
		return amount, errors.Join(err, f.Sync(), f.Close())
	}
}

// upTo moves block after block for the slice, up to the area, and returns how many megabytes those were.
func upTo(block int, move func([]byte) error) (float64, error) {
	b := make([]byte, block)
	end := time.Now().Add(slice)
	at := 0
	for at < area && time.Now().Before(end) {
		if err := move(b); err != nil {
			return 0, err
		}
		at += block
	}
	return float64(at) / megabyte, nil
}

func removeWritten(dir string) error { return os.Remove(filepath.Join(dir, writtenFile)) }

// direct reads or writes the file in order without the page cache, some blocks at a time.
func direct(block, inFlight int, write bool) func(string) (float64, error) {
	return func(dir string) (float64, error) {
		f, err := os.OpenFile(filepath.Join(dir, readFile), os.O_RDWR|unix.O_DIRECT, 0)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		end := time.Now().Add(slice)
		var next, done atomic.Int64
		var all sync.WaitGroup
		errs := make([]error, inFlight)
		for i := range inFlight {
			all.Go(func() {
				for errs[i] == nil && time.Now().Before(end) {
					at := (next.Add(1) - 1) * int64(block) % area
					errs[i] = directBlock(f, at, block, write)
					done.Add(int64(block))
				}
			})
		}
		all.Wait()
		return float64(done.Load()) / megabyte, errors.Join(errs...)
	}
}

// aligned are buffers for direct I/O.
var aligned = sync.Pool{New: func() any {
	const largest = 1 << 20
	b, err := unix.Mmap(-1, 0, largest, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
	if err != nil {
		panic(err)
	}
	return &b
}}

func directBlock(f *os.File, at int64, block int, write bool) error {
	buffer := aligned.Get().(*[]byte)
	defer aligned.Put(buffer)
	var err error
	if write {
		_, err = f.WriteAt((*buffer)[:block], at)
	} else {
		_, err = f.ReadAt((*buffer)[:block], at)
	}
	return err
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
