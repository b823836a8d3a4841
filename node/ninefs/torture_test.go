package ninefs_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/ninefs"
	"github.com/csi-9p/csi-9p/test/lab"
)

// torture does random operations on a tree and on a model of it, and compares them after every step. It runs in a process of
// its own because it maps files. Another run with the same seed does the same.
type torture struct {
	rng   *rand.Rand
	root  string
	maps  bool                // shared mappings are to be had
	attrs bool                // an open file that lost a name can be truncated
	files map[string]*content // by path beneath root; two paths may have one content
	dirs  []string            // "" is the root
	open  []*opened
	log   []string
}

// content is what a file should hold.
type content struct {
	data  []byte
	names int
	lost  bool // one of its names was removed
}

type opened struct {
	file *os.File
	of   *content
	mem  []byte
}

const (
	tortureMaxFile  = 300_000
	tortureMaxOpen  = 12
	tortureMaxNames = 60
)

// Work of the child; arguments: directory, seed, steps, whether to map, whether an open file that lost a name can be truncated.
func tortureWork(args []string) error {
	seed, err1 := strconv.ParseUint(args[1], 10, 64)
	steps, err2 := strconv.Atoi(args[2])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	x := &torture{
		rng: rand.New(rand.NewPCG(seed, 1)), root: args[0], maps: args[3] == "true", attrs: args[4] == "true",
		files: map[string]*content{}, dirs: []string{""},
	}
	for i := range steps {
		if err := x.step(); err != nil {
			return fmt.Errorf("seed %d, step %d: %w; before it:\n%s", seed, i, err, x.tail())
		}
		if i%50 == 49 {
			if err := x.compare(); err != nil {
				return fmt.Errorf("seed %d, after step %d: %w; before it:\n%s", seed, i, err, x.tail())
			}
		}
	}
	for _, o := range x.open {
		if err := x.close(o); err != nil {
			return err
		}
	}
	return x.compare()
}

func (x *torture) tail() string {
	return fmt.Sprintf("%q", x.log[max(0, len(x.log)-12):])
}

func (x *torture) path(name string) string { return filepath.Join(x.root, name) }

// step does one operation.
func (x *torture) step() error {
	ops := []struct {
		weight int
		name   string
		do     func() (string, error)
	}{
		{8, "create", x.create}, {30, "write", x.write}, {25, "read", x.read}, {8, "truncate", x.truncate},
		{15, "map", x.mapWrite}, {8, "open", x.openOne}, {6, "close", x.closeOne}, {8, "rename", x.rename},
		{4, "unlink", x.unlink}, {3, "mkdir", x.mkdir}, {2, "rmdir", x.rmdir}, {3, "link", x.link},
		{3, "rename a directory", x.renameDir}, {5, "stat", x.stat}, {3, "append", x.append},
	}
	total := 0
	for _, op := range ops {
		total += op.weight
	}
	n := x.rng.IntN(total)
	for _, op := range ops {
		if n -= op.weight; n < 0 {
			what, err := op.do()
			x.log = append(x.log, op.name+" "+what)
			if err != nil {
				return fmt.Errorf("%s %s: %w", op.name, what, err)
			}
			return nil
		}
	}
	return nil
}

// name makes a path in a random directory, that of nothing yet with a good chance.
func (x *torture) name() string {
	return filepath.Join(x.dirs[x.rng.IntN(len(x.dirs))], fmt.Sprintf("n%02d", x.rng.IntN(tortureMaxNames)))
}

// some returns a random file's path, or "".
func (x *torture) some() string {
	if len(x.files) == 0 {
		return ""
	}
	paths := make([]string, 0, len(x.files))
	for p := range x.files {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	return paths[x.rng.IntN(len(paths))]
}

func (x *torture) handle() *opened {
	if len(x.open) == 0 {
		return nil
	}
	return x.open[x.rng.IntN(len(x.open))]
}

func (x *torture) taken(name string) bool {
	return x.files[name] != nil || slices.Contains(x.dirs, name)
}

func (x *torture) bytes() []byte {
	n := 1 + x.rng.IntN(9000)
	if x.rng.IntN(10) == 0 {
		n = 1 + x.rng.IntN(tortureMaxFile/2)
	}
	b := make([]byte, n)
	fill := byte(x.rng.IntN(256))
	for i := range b {
		b[i] = fill + byte(i%97)
	}
	return b
}

func (c *content) put(off int, b []byte) {
	if grown := off + len(b); grown > len(c.data) {
		c.resize(grown)
	}
	copy(c.data[off:], b)
}

func (c *content) resize(n int) {
	if n <= len(c.data) {
		c.data = c.data[:n:n]
		return
	}
	c.data = append(c.data, make([]byte, n-len(c.data))...)
}

func (x *torture) create() (string, error) {
	name := x.name()
	f, err := os.OpenFile(x.path(name), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if x.taken(name) {
		if !errors.Is(err, fs.ErrExist) {
			return name, fmt.Errorf("of a name that is taken: %w", err)
		}
		return name, nil
	}
	if err != nil {
		return name, err
	}
	c := &content{names: 1}
	x.files[name] = c
	b := x.bytes()
	c.put(0, b)
	if _, err := f.Write(b); err != nil {
		return name, err
	}
	return name, f.Close()
}

func (x *torture) openOne() (string, error) {
	name := x.some()
	if name == "" || len(x.open) >= tortureMaxOpen {
		return "", nil
	}
	f, err := os.OpenFile(x.path(name), os.O_RDWR, 0)
	if err != nil {
		return name, err
	}
	x.open = append(x.open, &opened{file: f, of: x.files[name]})
	return name, nil
}

func (x *torture) closeOne() (string, error) {
	o := x.handle()
	if o == nil {
		return "", nil
	}
	x.open = slices.DeleteFunc(x.open, func(p *opened) bool { return p == o })
	return o.file.Name(), x.close(o)
}

func (x *torture) close(o *opened) error {
	if o.mem != nil {
		if err := unix.Munmap(o.mem); err != nil {
			return err
		}
	}
	return o.file.Close()
}

func (x *torture) write() (string, error) {
	b := x.bytes()
	if o := x.handle(); o != nil && x.rng.IntN(3) > 0 {
		off := x.rng.IntN(tortureMaxFile)
		if x.rng.IntN(2) == 0 && len(o.of.data) > 0 {
			off = x.rng.IntN(len(o.of.data))
		}
		what := fmt.Sprintf("%s handle %d+%d", o.file.Name(), off, len(b))
		if _, err := o.file.WriteAt(b, int64(off)); err != nil {
			return what, err
		}
		o.of.put(off, b)
		return what, x.sameThrough(o)
	}
	name := x.some()
	if name == "" {
		return "", nil
	}
	if err := os.WriteFile(x.path(name), b, 0o644); err != nil {
		return name, err
	}
	c := x.files[name]
	c.resize(0)
	c.put(0, b)
	return fmt.Sprintf("%s whole %d", name, len(b)), x.same(name)
}

func (x *torture) append() (string, error) {
	name := x.some()
	if name == "" {
		return "", nil
	}
	f, err := os.OpenFile(x.path(name), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return name, err
	}
	defer f.Close()
	c := x.files[name]
	for range 2 {
		b := x.bytes()
		if _, err := f.Write(b); err != nil {
			return name, err
		}
		c.put(len(c.data), b)
	}
	if len(c.data) > 2*tortureMaxFile {
		c.resize(100)
		if err := f.Truncate(100); err != nil {
			return name, err
		}
	}
	return fmt.Sprintf("%s to %d", name, len(c.data)), x.same(name)
}

func (x *torture) read() (string, error) {
	o := x.handle()
	if o == nil || x.rng.IntN(2) == 0 {
		name := x.some()
		if name == "" {
			return "", nil
		}
		return name, x.same(name)
	}
	off := x.rng.IntN(len(o.of.data) + 10)
	b := make([]byte, 1+x.rng.IntN(20000))
	n, err := o.file.ReadAt(b, int64(off))
	what := fmt.Sprintf("%s handle %d+%d", o.file.Name(), off, len(b))
	if err != nil && err != io.EOF {
		return what, err
	}
	want := o.of.data[min(off, len(o.of.data)):]
	want = want[:min(len(want), len(b))]
	return what, differ(b[:n], want)
}

func (x *torture) truncate() (string, error) {
	size := x.rng.IntN(tortureMaxFile)
	if o := x.handle(); o != nil && x.rng.IntN(2) == 0 && (x.attrs || !o.of.lost) {
		if err := o.file.Truncate(int64(size)); err != nil {
			return o.file.Name(), err
		}
		o.of.resize(size)
		return fmt.Sprintf("%s handle %d", o.file.Name(), size), x.sameThrough(o)
	}
	name := x.some()
	if name == "" {
		return "", nil
	}
	if err := os.Truncate(x.path(name), int64(size)); err != nil {
		return name, err
	}
	x.files[name].resize(size)
	return fmt.Sprintf("%s %d", name, size), x.same(name)
}

// mapWrite changes a piece of an open file through a shared mapping of all of it, made now or earlier.
func (x *torture) mapWrite() (string, error) {
	o := x.handle()
	if o == nil || !x.maps || len(o.of.data) == 0 {
		return "", nil
	}
	if o.mem != nil && x.rng.IntN(3) == 0 {
		if err := unix.Munmap(o.mem); err != nil {
			return "", err
		}
		o.mem = nil
	}
	if o.mem == nil {
		mem, err := unix.Mmap(int(o.file.Fd()), 0, 2*tortureMaxFile, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return o.file.Name(), err
		}
		o.mem = mem
	}
	size := min(len(o.of.data), len(o.mem))
	off := x.rng.IntN(size)
	n := min(1+x.rng.IntN(5000), size-off)
	what := fmt.Sprintf("%s %d+%d", o.file.Name(), off, n)
	if err := differ(o.mem[off:off+n], o.of.data[off:off+n]); err != nil {
		return what, err
	}
	for i := range n {
		o.mem[off+i] ^= byte(i) | 1
		o.of.data[off+i] ^= byte(i) | 1
	}
	if x.rng.IntN(4) == 0 {
		if err := unix.Msync(o.mem[:(size+4095)&^4095], unix.MS_SYNC); err != nil {
			return what, err
		}
	}
	return what, x.sameThrough(o)
}

func (x *torture) rename() (string, error) {
	from, to := x.some(), x.name()
	if from == "" || slices.Contains(x.dirs, to) {
		return "", nil
	}
	if err := os.Rename(x.path(from), x.path(to)); err != nil {
		return from + " to " + to, err
	}
	if c := x.files[from]; x.files[to] != c {
		if old := x.files[to]; old != nil {
			old.names--
			old.lost = true
		}
		x.files[to] = c
		delete(x.files, from)
	}
	return from + " to " + to, x.same(to)
}

func (x *torture) link() (string, error) {
	from, to := x.some(), x.name()
	if from == "" || x.taken(to) {
		return "", nil
	}
	if err := os.Link(x.path(from), x.path(to)); err != nil {
		return from + " as " + to, err
	}
	x.files[to] = x.files[from]
	x.files[to].names++
	return from + " as " + to, x.same(to)
}

func (x *torture) unlink() (string, error) {
	name := x.some()
	if name == "" {
		return "", nil
	}
	x.files[name].names--
	x.files[name].lost = true
	delete(x.files, name)
	return name, os.Remove(x.path(name))
}

func (x *torture) mkdir() (string, error) {
	name := x.name()
	if x.taken(name) || len(x.dirs) > 12 {
		return "", nil
	}
	x.dirs = append(x.dirs, name)
	return name, os.Mkdir(x.path(name), 0o755)
}

// inside reports whether a path is a directory or in it.
func inside(path, dir string) bool {
	return path == dir || len(path) > len(dir) && path[:len(dir)] == dir && path[len(dir)] == '/'
}

func (x *torture) rmdir() (string, error) {
	dir := x.dirs[x.rng.IntN(len(x.dirs))]
	if dir == "" {
		return "", nil
	}
	empty := true
	for p := range x.files {
		empty = empty && !inside(p, dir)
	}
	for _, d := range x.dirs {
		empty = empty && (d == dir || !inside(d, dir))
	}
	err := unix.Rmdir(x.path(dir))
	if !empty {
		if !errors.Is(err, unix.ENOTEMPTY) {
			return dir, fmt.Errorf("of a directory with something in it: %w", err)
		}
		return dir, nil
	}
	x.dirs = slices.DeleteFunc(x.dirs, func(d string) bool { return d == dir })
	return dir, err
}

func (x *torture) renameDir() (string, error) {
	from, to := x.dirs[x.rng.IntN(len(x.dirs))], x.name()
	if from == "" || x.taken(to) || inside(to, from) {
		return "", nil
	}
	if err := os.Rename(x.path(from), x.path(to)); err != nil {
		return from + " to " + to, err
	}
	for p, c := range x.files {
		if inside(p, from) {
			delete(x.files, p)
			defer func() { x.files[to+p[len(from):]] = c }()
		}
	}
	for i, d := range x.dirs {
		if inside(d, from) {
			x.dirs[i] = to + d[len(from):]
		}
	}
	return from + " to " + to, nil
}

func (x *torture) stat() (string, error) {
	name := x.some()
	if name == "" {
		return "", nil
	}
	var st unix.Stat_t
	if err := unix.Lstat(x.path(name), &st); err != nil {
		return name, err
	}
	if c := x.files[name]; st.Size != int64(len(c.data)) || int(st.Nlink) != c.names {
		return name, fmt.Errorf("%d bytes, %d links, want %d, %d", st.Size, st.Nlink, len(c.data), c.names)
	}
	return name, nil
}

func (x *torture) same(name string) error {
	got, err := os.ReadFile(x.path(name))
	if err != nil {
		return err
	}
	return differ(got, x.files[name].data)
}

func (x *torture) sameThrough(o *opened) error {
	got := make([]byte, len(o.of.data)+1)
	n, err := o.file.ReadAt(got, 0)
	if err != io.EOF {
		return fmt.Errorf("read of %d bytes and one: %w", len(o.of.data), err)
	}
	return differ(got[:n], o.of.data)
}

func differ(got, want []byte) error {
	if bytes.Equal(got, want) {
		return nil
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	return fmt.Errorf("%d bytes, want %d, the first difference is at %d: %.16x, want %.16x",
		len(got), len(want), at, got[at:], want[at:])
}

// compare walks the whole tree.
func (x *torture) compare() error {
	files, dirs := 0, 0
	err := filepath.WalkDir(x.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(x.root, path)
		if err != nil {
			return err
		}
		if name == "." {
			name = ""
		}
		if d.IsDir() {
			dirs++
			if !slices.Contains(x.dirs, name) {
				return fmt.Errorf("%s should not be there", name)
			}
			return nil
		}
		files++
		if x.files[name] == nil {
			return fmt.Errorf("%s should not be there", name)
		}
		if err := x.same(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err == nil && (files != len(x.files) || dirs != len(x.dirs)) {
		err = fmt.Errorf("%d files, %d directories, want %d, %d", files, dirs, len(x.files), len(x.dirs))
	}
	return err
}

// TestTorture does as many steps as a short test allows; set CSI9P_TORTURE_STEPS and CSI9P_TORTURE_SEED for others.
func TestTorture(t *testing.T) {
	noLeak(t)
	steps, seed := cmp.Or(os.Getenv("CSI9P_TORTURE_STEPS"), "500"), cmp.Or(os.Getenv("CSI9P_TORTURE_SEED"), "1")
	running := map[string]*lab.Process{}
	for name, mode := range map[string]ninefs.CacheMode{"close-to-open": ninefs.CloseToOpen, "none": ninefs.CacheNone, "loose": ninefs.Loose} {
		for server, start := range map[string]func(testing.TB) share{"exporter": exporter, "diod": diod, "device": device} {
			m := mount(t, start(t), func(o *ninefs.Options) { o.Cache = mode; o.Fids = ninefs.NewFidCache(20) })
			check(t, os.Mkdir(m.path("tree"), 0o755))
			// diod truncates by path, and which of its names an open file still has need not be known.
			attrs := server != "diod"
			running[name+" on "+server] = lab.Child(t, "torture", m.path("tree"), seed, steps,
				strconv.FormatBool(mode != ninefs.CacheNone), strconv.FormatBool(attrs))
		}
	}
	for name, p := range running {
		if err := p.Wait(2 * time.Minute); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
