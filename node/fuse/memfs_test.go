package fuse_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/fuse"
)

// slotPool is a Buffers of mapped memory that counts what is out.
type slotPool struct {
	mu   sync.Mutex
	free []*slot
	out  atomic.Int64
}

type slot struct {
	pool *slotPool
	mem  []byte
}

func (p *slotPool) TryGet(n int) fuse.Buffer {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Add(1)
	if k := len(p.free); k > 0 {
		s := p.free[k-1]
		p.free = p.free[:k-1]
		return s
	}
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		panic(err)
	}
	return &slot{p, mem}
}

func (p *slotPool) Get(_ context.Context, n int) (fuse.Buffer, error) { return p.TryGet(n), nil }

func (p *slotPool) close() {
	for _, s := range p.free {
		_ = unix.Munmap(s.mem)
	}
}

func (s *slot) Bytes() []byte { return s.mem }

func (s *slot) Release() {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	s.pool.out.Add(-1)
	s.pool.free = append(s.pool.free, s)
}

// memFile is a file of a memFS. Without data it is size zero bytes long.
type memFile struct {
	name string
	id   uint64
	data []byte
	size uint64
}

// memFS is one directory of files in memory.
type memFS struct {
	on    fuse.IOURing
	slots *slotPool
	zero  []byte
	ttl   uint64 // validity of names and attributes in seconds
	open  fuse.OpenFlags

	mu    sync.Mutex
	files []*memFile
	// take, if set, gets every request first and returns whether it keeps it.
	take func(*fuse.Request) bool
}

func newMemFS(t testing.TB, on fuse.IOURing) *memFS {
	fs := &memFS{on: on, slots: new(slotPool), zero: make([]byte, 1<<20), open: fuse.OpenDirectIO}
	clear(fs.zero) // has it in memory of its own, as what is read is
	t.Cleanup(func() {
		if n := fs.slots.out.Load(); n != 0 {
			t.Errorf("%d buffers not released", n)
		}
		fs.slots.close()
	})
	return fs
}

func (fs *memFS) add(name string, data []byte) *memFile {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := &memFile{name: name, id: uint64(len(fs.files) + 2), data: data, size: uint64(len(data))}
	fs.files = append(fs.files, f)
	return f
}

func (fs *memFS) setTake(take func(*fuse.Request) bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.take = take
}

func (fs *memFS) Handle(r *fuse.Request) {
	fs.mu.Lock()
	take := fs.take
	fs.mu.Unlock()
	if take != nil && take(r) {
		return
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	switch r.Opcode() {
	case fuse.OpForget, fuse.OpBatchForget:
		r.NoReply()
	case fuse.OpLookup:
		fs.lookup(r)
	case fuse.OpGetattr:
		out := fuse.AttrOut{AttrValid: fs.ttl, Attr: fs.attr(r.NodeID())}
		r.ReplyAttr(&out)
	case fuse.OpSetattr:
		f := fs.files[r.NodeID()-2]
		if in := fuse.In[fuse.SetattrIn](r); in.Valid&fuse.SetattrSize != 0 {
			f.data, f.size = f.data[:in.Size], in.Size
		}
		r.ReplyAttr(&fuse.AttrOut{Attr: fs.attr(r.NodeID())})
	case fuse.OpCreate:
		f := &memFile{name: string(r.Name()), id: uint64(len(fs.files) + 2)}
		fs.files = append(fs.files, f)
		r.ReplyCreate(&fuse.EntryOut{NodeID: f.id, Attr: fs.attr(f.id)}, &fuse.OpenOut{OpenFlags: fs.open})
	case fuse.OpOpen:
		r.ReplyOpen(&fuse.OpenOut{OpenFlags: fs.open})
	case fuse.OpOpendir:
		r.ReplyOpen(&fuse.OpenOut{})
	case fuse.OpRead:
		fs.read(r)
	case fuse.OpWrite:
		fs.write(r)
	case fuse.OpReaddir, fuse.OpReaddirplus:
		fs.readdir(r)
	case fuse.OpStatfs:
		r.ReplyStatfs(&fuse.StatfsOut{Bsize: 4096, Namelen: 255})
	case fuse.OpFlush, fuse.OpRelease, fuse.OpReleasedir, fuse.OpFsync:
		r.ReplyOK()
	default:
		r.ReplyError(unix.ENOSYS)
	}
}

func (fs *memFS) attr(id uint64) fuse.Attr {
	if id == fuse.RootID {
		return fuse.Attr{Ino: id, Mode: unix.S_IFDIR | 0o755, Nlink: 2, Blksize: 4096}
	}
	return fuse.Attr{Ino: id, Mode: unix.S_IFREG | 0o644, Nlink: 1, Blksize: 4096, Size: fs.files[id-2].size}
}

func (fs *memFS) lookup(r *fuse.Request) {
	name := r.Name()
	i := slices.IndexFunc(fs.files, func(f *memFile) bool { return f.name == string(name) })
	if i < 0 {
		r.ReplyError(unix.ENOENT)
		return
	}
	id := fs.files[i].id
	r.ReplyEntry(&fuse.EntryOut{NodeID: id, EntryValid: fs.ttl, AttrValid: fs.ttl, Attr: fs.attr(id)})
}

func (fs *memFS) read(r *fuse.Request) {
	in, f := fuse.In[fuse.ReadIn](r), fs.files[r.NodeID()-2]
	n := uint64(in.Size)
	if in.Offset >= f.size {
		n = 0
	}
	n = min(n, f.size-min(in.Offset, f.size))
	if f.data == nil {
		r.ReplyData(fs.zero[:n])
		return
	}
	r.ReplyData(f.data[min(in.Offset, f.size):][:n])
}

func (fs *memFS) write(r *fuse.Request) {
	in, f := fuse.In[fuse.WriteIn](r), fs.files[r.NodeID()-2]
	if end := in.Offset + uint64(in.Size); end > uint64(len(f.data)) {
		f.data = append(f.data, make([]byte, end-uint64(len(f.data)))...)
		f.size = end
	}
	copy(f.data[in.Offset:], r.Payload())
	r.ReplyWrite(in.Size)
}

func (fs *memFS) readdir(r *fuse.Request) {
	in := fuse.In[fuse.ReadIn](r)
	b := fuse.NewDirentBuilder(make([]byte, in.Size))
	for i := in.Offset; i < uint64(len(fs.files)); i++ {
		f := fs.files[i]
		d := fuse.Dirent{Ino: f.id, Off: i + 1, Type: unix.DT_REG, Name: f.name}
		if r.Opcode() == fuse.OpReaddir {
			if !b.Add(d) {
				break
			}
			continue
		}
		e := b.AddPlus(d)
		if e == nil {
			break
		}
		*e = fuse.EntryOut{NodeID: f.id, EntryValid: fs.ttl, AttrValid: fs.ttl, Attr: fs.attr(f.id)}
	}
	r.ReplyData(b.Bytes())
}

// mounted is a connection with its mount.
type mounted struct {
	fs   *memFS
	dir  string
	dev  *os.File
	id   uint32
	conn *fuse.Conn
}

// mount mounts fs on a directory of its own until the end of the test.
func mount(t testing.TB, fs *memFS, cfg fuse.Config) *mounted {
	t.Helper()
	m := mountOnly(t)
	m.fs = fs
	m.serve(t, fs, cfg)
	return m
}

// mountOnly mounts a connection that nobody serves yet.
func mountOnly(t testing.TB) *mounted {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dev, err := fuse.OpenDevice()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dev.Close() })
	o := fuse.MountOptions{Source: "memfs", Subtype: "csi-9p", AllowOther: true, DefaultPermissions: true, MaxRead: 1 << 20}
	if err := fuse.Mount(dev, dir, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fuse.Unmount(dir); err != nil && !errors.Is(err, unix.EINVAL) {
			t.Error(err)
		}
	})
	id, err := fuse.ConnectionID(dir)
	if err != nil {
		t.Fatal(err)
	}
	// A failed test may leave requests unanswered, for which its cleanups would wait.
	context.AfterFunc(t.Context(), func() {
		if t.Failed() {
			_ = fuse.Abort(id)
		}
	})
	return &mounted{dir: dir, dev: dev, id: id}
}

// serve serves the mount until the end of the test.
func (m *mounted) serve(t testing.TB, fs *memFS, cfg fuse.Config) *fuse.Conn {
	t.Helper()
	conn := m.serveOnly(t, fs, cfg)
	m.conn = conn
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := conn.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// serveOnly serves the mount until the test closes it.
func (m *mounted) serveOnly(t testing.TB, fs *memFS, cfg fuse.Config) *fuse.Conn {
	t.Helper()
	cfg.Handler, cfg.IOURing = fs, fs.on
	if cfg.Buffers == nil {
		cfg.Buffers = fs.slots
	}
	conn, err := fuse.Serve(t.Context(), m.dev, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func (m *mounted) path(name string) string { return filepath.Join(m.dir, name) }

// open opens a file without the runtime's poller, whose epoll_ctl(2) would ask this very process to POLL the file.
func open(t testing.TB, path string, flags int) int {
	t.Helper()
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o644)
	if err != nil {
		t.Fatalf("open %s: %v", path, err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// mountCount is the number of FUSE mounts of this package's tests.
func mountCount() int {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		panic(err)
	}
	return strings.Count(string(table), " memfs ")
}

// fdCount is the number of open descriptors of this process.
func fdCount() int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	return len(names)
}
