package mount_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// torture is the child's work: args are the directory to make, the seed, the
// number of steps, the mount's cache mode and the server's name.
func torture(args []string) error {
	seed, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	steps, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	if err := os.Mkdir(args[0], 0o755); err != nil {
		return err
	}
	x := &torturer{
		base: args[0], r: rand.New(rand.NewPCG(seed, 9)), tree: map[string]*node{"": newDir()},
		mapped: args[3] != "none", byPath: byPath(args[4]),
	}
	for step := range steps {
		if err := x.step(step); err != nil {
			last := x.log[max(0, len(x.log)-40):]
			return fmt.Errorf("seed %d, step %d: %w\nafter\n%s", seed, step, err, strings.Join(last, "\n"))
		}
	}
	return x.finish()
}

// node is a file or directory as it must be.
type node struct {
	dir   bool
	data  []byte
	links int
}

func newDir() *node { return &node{dir: true} }

// handle is an open file, whose name may be gone.
type handle struct {
	f *os.File
	n *node
}

// torturer is the model, and what it is compared with.
type torturer struct {
	base   string
	r      *rand.Rand
	tree   map[string]*node // by path; "" is the base
	open   []handle
	mapped bool // shared writable mappings are to be had
	byPath bool // the server cannot truncate an open file that has no name
	log    []string
}

const (
	mostFiles   = 40
	mostHandles = 8
	mostBytes   = 400 << 10
)

// operation is one kind of step. It does nothing when there is nothing to do it to.
type operation struct {
	weight int
	do     func(*torturer) error
}

var operations = []operation{
	{6, (*torturer).create}, {14, (*torturer).write}, {4, (*torturer).appendTo}, {12, (*torturer).read},
	{8, (*torturer).truncate}, {6, (*torturer).mapWrite}, {6, (*torturer).mapRead}, {6, (*torturer).rename},
	{3, (*torturer).mkdir}, {2, (*torturer).rmdir}, {4, (*torturer).unlink}, {3, (*torturer).link},
	{6, (*torturer).openAgain}, {6, (*torturer).close}, {2, (*torturer).sync}, {3, (*torturer).hole},
}

// step does one operation and looks at what a random path shows afterwards;
// now and then at everything.
func (x *torturer) step(step int) error {
	total := 0
	for _, op := range operations {
		total += op.weight
	}
	pick := x.r.IntN(total)
	for _, op := range operations {
		if pick -= op.weight; pick < 0 {
			if err := op.do(x); err != nil {
				return err
			}
			break
		}
	}
	if step%100 == 99 {
		return x.checkAll()
	}
	if err := x.check(x.anyPath(func(*node) bool { return true })); err != nil {
		return err
	}
	return x.checkHandles()
}

func (x *torturer) note(format string, args ...any) {
	x.log = append(x.log, fmt.Sprintf(format, args...))
}

func (x *torturer) path(name string) string { return path.Join(x.base, name) }

// paths is the names of the nodes that match, sorted so that a seed always picks the same.
func (x *torturer) paths(match func(*node) bool) []string {
	var names []string
	for name, n := range x.tree {
		if match(n) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// anyPath picks one of them, "" when there is none.
func (x *torturer) anyPath(match func(*node) bool) string {
	names := x.paths(match)
	if len(names) == 0 {
		return ""
	}
	return names[x.r.IntN(len(names))]
}

func isFile(n *node) bool { return !n.dir }
func isDir(n *node) bool  { return n.dir }

// freshPath is a name in some directory; it may be taken.
func (x *torturer) freshPath() string {
	return path.Join(x.anyPath(isDir), "n"+strconv.Itoa(x.r.IntN(25)))
}

// someHandle is an open file: one of those kept, or nil.
func (x *torturer) someHandle() *handle {
	if len(x.open) == 0 {
		return nil
	}
	return &x.open[x.r.IntN(len(x.open))]
}

func (x *torturer) keep(f *os.File, n *node) error {
	x.open = append(x.open, handle{f, n})
	if len(x.open) <= mostHandles {
		return nil
	}
	oldest := x.open[0]
	x.open = x.open[1:]
	return oldest.f.Close()
}

func (x *torturer) bytes(n int) []byte {
	b := make([]byte, n)
	fill := byte(x.r.IntN(255) + 1)
	for i := range b {
		b[i] = fill + byte(i/100)
	}
	return b
}

// length is small more often than not.
func (x *torturer) length() int {
	return x.r.IntN([]int{10, 5000, 70000, mostBytes / 2}[x.r.IntN(4)])
}

// put writes into the model.
func (n *node) put(data []byte, offset int) {
	if len(data) == 0 {
		return
	}
	n.resize(max(len(n.data), offset+len(data)))
	copy(n.data[offset:], data)
}

func (n *node) resize(size int) {
	if size <= len(n.data) {
		n.data = slices.Clone(n.data[:size])
		return
	}
	n.data = append(n.data, make([]byte, size-len(n.data))...)
}

// finish closes what is open and compares everything a last time.
func (x *torturer) finish() error {
	for _, h := range x.open {
		if err := h.f.Close(); err != nil {
			return err
		}
	}
	x.open = nil
	return x.checkAll()
}

func (x *torturer) checkAll() error {
	for _, name := range x.paths(func(*node) bool { return true }) {
		if err := x.check(name); err != nil {
			return err
		}
	}
	return x.checkHandles()
}

// check compares a path with the model: its kind, size, links, and content or entries.
func (x *torturer) check(name string) error {
	n := x.tree[name]
	var st unix.Stat_t
	if err := unix.Lstat(x.path(name), &st); err != nil {
		return fmt.Errorf("lstat %q: %w", name, err)
	}
	if isDirectory := st.Mode&unix.S_IFMT == unix.S_IFDIR; isDirectory != n.dir {
		return fmt.Errorf("%q: mode %o", name, st.Mode)
	}
	if n.dir {
		return x.checkEntries(name)
	}
	if st.Size != int64(len(n.data)) || int(st.Nlink) != n.links {
		return fmt.Errorf("%q: %d bytes and %d links, want %d and %d", name, st.Size, st.Nlink, len(n.data), n.links)
	}
	got, err := os.ReadFile(x.path(name))
	if err != nil {
		return err
	}
	return same(name, got, n.data)
}

func (x *torturer) checkEntries(name string) error {
	entries, err := os.ReadDir(x.path(name))
	if err != nil {
		return err
	}
	var got []string
	for _, entry := range entries {
		got = append(got, path.Join(name, entry.Name()))
	}
	want := x.children(name)
	if !slices.Equal(got, want) {
		return fmt.Errorf("directory %q has %q, want %q", name, got, want)
	}
	return nil
}

// children is the paths right below a directory, sorted.
func (x *torturer) children(dir string) []string {
	var names []string
	for name := range x.tree {
		parent := path.Dir(name)
		if parent == "." {
			parent = ""
		}
		if name != "" && parent == dir {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// checkHandles compares what the open files read, names or not.
func (x *torturer) checkHandles() error {
	for i, h := range x.open {
		info, err := h.f.Stat()
		if err != nil {
			return fmt.Errorf("fstat handle %d: %w", i, err)
		}
		if info.Size() != int64(len(h.n.data)) {
			return fmt.Errorf("handle %d (%s): %d bytes, want %d", i, h.f.Name(), info.Size(), len(h.n.data))
		}
		offset := x.r.IntN(len(h.n.data) + 1)
		buf := make([]byte, min(10000, len(h.n.data)-offset))
		if _, err := h.f.ReadAt(buf, int64(offset)); err != nil {
			return fmt.Errorf("read handle %d at %d: %w", i, offset, err)
		}
		if err := same(fmt.Sprintf("handle %d (%s) at %d", i, h.f.Name(), offset), buf, h.n.data[offset:offset+len(buf)]); err != nil {
			return err
		}
	}
	return nil
}

func same(what string, got, want []byte) error {
	if bytes.Equal(got, want) {
		return nil
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Errorf("%s: byte %d of %d is %#x, want %#x", what, i, len(want), got[i], want[i])
		}
	}
	return fmt.Errorf("%s: %d bytes, want %d", what, len(got), len(want))
}

var errNone = errors.New("no error")

// expect fails unless an operation ended as the model says.
func expect(what string, got, want error) error {
	if errors.Is(got, want) || got == nil && want == nil {
		return nil
	}
	return fmt.Errorf("%s: %w, want %w", what, cmp.Or(got, errNone), cmp.Or(want, errNone))
}
