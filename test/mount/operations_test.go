package mount_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func (x *torturer) create() error {
	name := x.freshPath()
	n, exists := x.tree[name]
	if len(x.tree) > mostFiles || exists && n.dir {
		return nil
	}
	flags := os.O_RDWR | os.O_CREATE | []int{0, os.O_EXCL, os.O_TRUNC}[x.r.IntN(3)]
	x.note("open %q flags %#o (exists: %v)", name, flags, exists)
	f, err := os.OpenFile(x.path(name), flags, 0o644)
	if exists && flags&os.O_EXCL != 0 {
		return expect("exclusive create", err, unix.EEXIST)
	}
	if err != nil {
		return err
	}
	if !exists {
		n = &node{links: 1}
		x.tree[name] = n
	}
	if flags&os.O_TRUNC != 0 {
		n.data = nil
	}
	return x.keep(f, n)
}

func (x *torturer) write() error {
	h := x.someHandle()
	if h == nil {
		return nil
	}
	data, offset := x.bytes(x.length()), x.r.IntN(mostBytes/2)
	x.note("write %d bytes at %d of %s", len(data), offset, h.f.Name())
	if _, err := h.f.WriteAt(data, int64(offset)); err != nil {
		return err
	}
	h.n.put(data, offset)
	return nil
}

func (x *torturer) appendTo() error {
	name := x.anyPath(isFile)
	if name == "" || len(x.tree[name].data) > mostBytes {
		return nil
	}
	data := x.bytes(x.length())
	x.note("append %d bytes to %q", len(data), name)
	f, err := os.OpenFile(x.path(name), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	x.tree[name].put(data, len(x.tree[name].data))
	return f.Close()
}

func (x *torturer) read() error {
	h := x.someHandle()
	if h == nil {
		return nil
	}
	offset := x.r.IntN(len(h.n.data) + 1000)
	buf := make([]byte, x.length())
	x.note("read %d bytes at %d of %s", len(buf), offset, h.f.Name())
	n, err := h.f.ReadAt(buf, int64(offset))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	from := min(offset, len(h.n.data))
	return same("read "+h.f.Name(), buf[:n], h.n.data[from:min(from+len(buf), len(h.n.data))])
}

// truncate goes through a handle or by name.
func (x *torturer) truncate() error {
	size := x.length()
	if h := x.someHandle(); h != nil && x.r.IntN(2) == 0 && (h.n.links > 0 || !x.byPath) {
		x.note("ftruncate %s to %d", h.f.Name(), size)
		h.n.resize(size)
		return h.f.Truncate(int64(size))
	}
	name := x.anyPath(isFile)
	if name == "" {
		return nil
	}
	x.note("truncate %q to %d", name, size)
	x.tree[name].resize(size)
	return os.Truncate(x.path(name), int64(size))
}

// hole writes beyond the end.
func (x *torturer) hole() error {
	h := x.someHandle()
	if h == nil || len(h.n.data) > mostBytes {
		return nil
	}
	offset := len(h.n.data) + x.length()
	x.note("write 3 bytes at %d of %s, %d beyond its end", offset, h.f.Name(), offset-len(h.n.data))
	if _, err := h.f.WriteAt([]byte("end"), int64(offset)); err != nil {
		return err
	}
	h.n.put([]byte("end"), offset)
	return nil
}

// mapWrite stores through a shared mapping of a whole file.
func (x *torturer) mapWrite() error {
	h := x.someHandle()
	if h == nil || len(h.n.data) == 0 || !x.mapped {
		return nil
	}
	m, err := unix.Mmap(int(h.f.Fd()), 0, len(h.n.data), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	offset := x.r.IntN(len(m))
	data := x.bytes(min(x.length(), len(m)-offset))
	x.note("store %d bytes at %d of %s", len(data), offset, h.f.Name())
	copy(m[offset:], data)
	h.n.put(data, offset)
	if x.r.IntN(2) == 0 {
		x.note("msync")
		if err := unix.Msync(m, unix.MS_SYNC); err != nil {
			return fmt.Errorf("msync: %w", err)
		}
	}
	return unix.Munmap(m)
}

func (x *torturer) mapRead() error {
	h := x.someHandle()
	if h == nil || len(h.n.data) == 0 {
		return nil
	}
	x.note("map %s to read", h.f.Name())
	m, err := unix.Mmap(int(h.f.Fd()), 0, len(h.n.data), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	return errors.Join(same("mapping of "+h.f.Name(), m, h.n.data), unix.Munmap(m))
}

// rename moves a file or a directory, onto something or not.
func (x *torturer) rename() error {
	from, to := x.anyPath(func(n *node) bool { return n != x.tree[""] }), x.freshPath()
	if from == "" {
		return nil
	}
	x.note("rename %q to %q", from, to)
	want := x.renameError(from, to)
	if err := expect("rename", unix.Rename(x.path(from), x.path(to)), want); err != nil || want != nil {
		return err
	}
	x.renamed(from, to)
	return nil
}

// renameError is what rename(2) answers, nil for success.
func (x *torturer) renameError(from, to string) error {
	source, target := x.tree[from], x.tree[to]
	switch {
	case from == to:
		return nil
	case strings.HasPrefix(to, from+"/"):
		return unix.EINVAL
	case strings.HasPrefix(from, to+"/"):
		return unix.ENOTEMPTY
	case target == nil:
		return nil
	case source.dir && !target.dir:
		return unix.ENOTDIR
	case !source.dir && target.dir:
		return unix.EISDIR
	case target.dir && len(x.children(to)) > 0:
		return unix.ENOTEMPTY
	}
	return nil
}

func (x *torturer) renamed(from, to string) {
	source, target := x.tree[from], x.tree[to]
	if source == target {
		return // the same name, or two names of one file: nothing is done
	}
	if target != nil && !target.dir {
		target.links--
	}
	delete(x.tree, from)
	x.tree[to] = source
	for name, n := range x.tree {
		if rest, ok := strings.CutPrefix(name, from+"/"); ok {
			delete(x.tree, name)
			x.tree[to+"/"+rest] = n
		}
	}
}

func (x *torturer) mkdir() error {
	name := x.freshPath()
	if len(x.tree) > mostFiles || strings.Count(name, "/") > 4 {
		return nil
	}
	x.note("mkdir %q", name)
	err := unix.Mkdir(x.path(name), 0o755)
	if x.tree[name] != nil {
		return expect("mkdir", err, unix.EEXIST)
	}
	x.tree[name] = newDir()
	return err
}

func (x *torturer) rmdir() error {
	name := x.anyPath(func(n *node) bool { return n.dir && n != x.tree[""] })
	if name == "" {
		return nil
	}
	x.note("rmdir %q", name)
	err := unix.Rmdir(x.path(name))
	if len(x.children(name)) > 0 {
		return expect("rmdir", err, unix.ENOTEMPTY)
	}
	delete(x.tree, name)
	return err
}

func (x *torturer) unlink() error {
	name := x.anyPath(isFile)
	if name == "" {
		return nil
	}
	x.note("unlink %q", name)
	x.tree[name].links--
	delete(x.tree, name)
	return unix.Unlink(x.path(name))
}

func (x *torturer) link() error {
	from, to := x.anyPath(isFile), x.freshPath()
	if from == "" || len(x.tree) > mostFiles {
		return nil
	}
	x.note("link %q as %q", from, to)
	err := unix.Link(x.path(from), x.path(to))
	if x.tree[to] != nil {
		return expect("link", err, unix.EEXIST)
	}
	x.tree[to] = x.tree[from]
	x.tree[to].links++
	return err
}

func (x *torturer) openAgain() error {
	name := x.anyPath(isFile)
	if name == "" {
		return nil
	}
	x.note("open %q", name)
	f, err := os.OpenFile(x.path(name), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return x.keep(f, x.tree[name])
}

func (x *torturer) close() error {
	if len(x.open) == 0 {
		return nil
	}
	i := x.r.IntN(len(x.open))
	h := x.open[i]
	x.note("close %s", h.f.Name())
	x.open = append(x.open[:i:i], x.open[i+1:]...)
	return h.f.Close()
}

func (x *torturer) sync() error {
	h := x.someHandle()
	if h == nil {
		return nil
	}
	x.note("fsync %s", h.f.Name())
	return h.f.Sync()
}
