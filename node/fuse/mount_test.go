package fuse_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/test/lab"
)

// eventually waits until ok, for what no event tells.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// pattern is n bytes that differ from page to page.
func pattern(t testing.TB, n int) []byte {
	b := aligned(t, n)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(b)
	return b
}

func TestFiles(t *testing.T) { lab.Loops(t, testFiles) }

func testFiles(t *testing.T, on fuse.IOURing) {
	fs := newMemFS(t, on)
	m := mount(t, fs, fuse.Config{})
	want := pattern(t, 3<<20)
	fd := open(t, m.path("new"), unix.O_RDWR|unix.O_CREAT)
	if n, err := unix.Pwrite(fd, want, 0); n != len(want) || err != nil {
		t.Fatalf("write: %d, %v", n, err)
	}
	got := aligned(t, len(want)+4096)
	if n, err := unix.Pread(fd, got, 0); n != len(want) || err != nil || !bytes.Equal(got[:n], want) {
		t.Fatalf("read: %d, %v", n, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(m.path("new"), &st); err != nil || st.Size != int64(len(want)) {
		t.Errorf("stat: size %d, %v", st.Size, err)
	}
	if err := unix.Stat(m.path("absent"), &st); !errors.Is(err, unix.ENOENT) {
		t.Errorf("stat of what is not there: %v", err)
	}
	if err := unix.Mkdir(m.path("dir"), 0o755); !errors.Is(err, unix.ENOSYS) {
		t.Errorf("an unknown operation: %v", err)
	}
	var vfs unix.Statfs_t
	if err := unix.Statfs(m.dir, &vfs); err != nil || vfs.Namelen != 255 {
		t.Errorf("statfs: %+v, %v", vfs, err)
	}
}

func TestDirectory(t *testing.T) { lab.Loops(t, testDirectory) }

func testDirectory(t *testing.T, on fuse.IOURing) {
	for _, flags := range []fuse.InitFlags{fuse.DefaultFlags, fuse.DefaultFlags &^ (fuse.DoReaddirplus | fuse.ReaddirplusAuto)} {
		t.Run(fmt.Sprintf("%#x", uint64(flags)), func(t *testing.T) {
			fs := newMemFS(t, on)
			var want []string
			for i := range 3000 {
				name := fmt.Sprintf("%d-%s", i, strings.Repeat("x", i%240))
				fs.add(name, nil)
				want = append(want, name)
			}
			m := mount(t, fs, fuse.Config{Flags: flags})
			entries, err := os.ReadDir(m.dir)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range entries {
				got = append(got, e.Name())
			}
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%d names, want %d", len(got), len(want))
			}
		})
	}
}

func TestWritePayloadLandsInBuffer(t *testing.T) { lab.Loops(t, testWritePayloadLandsInBuffer) }

func testWritePayloadLandsInBuffer(t *testing.T, on fuse.IOURing) {
	for _, c := range []struct{ maxWrite, requests int }{{1 << 20, 1}, {64 << 10, 16}, {8 << 10, 128}} {
		t.Run(fmt.Sprint(c.maxWrite), func(t *testing.T) {
			fs := newMemFS(t, on)
			f := fs.add("data", nil)
			var mu sync.Mutex
			var kept []fuse.Buffer
			sizes := map[int]int{}
			fs.setTake(func(r *fuse.Request) bool {
				if r.Opcode() != fuse.OpWrite {
					return false
				}
				in, p := fuse.In[fuse.WriteIn](r), r.Payload()
				buf := r.TakeBuffer()
				if unsafe.SliceData(p) != unsafe.SliceData(buf.Bytes()) || !isAligned(p) {
					t.Error("the payload is not at the beginning of its page-aligned buffer")
				}
				mu.Lock()
				defer mu.Unlock()
				sizes[len(p)]++
				if len(kept) < 16 { // a ring lends no more than it has entries
					kept = append(kept, buf)
				} else {
					defer buf.Release()
				}
				fs.mu.Lock()
				defer fs.mu.Unlock()
				f.data = append(f.data, p...)
				f.size = uint64(len(f.data))
				r.ReplyWrite(in.Size)
				return true
			})
			m := mount(t, fs, fuse.Config{MaxWrite: c.maxWrite})
			want := pattern(t, 1<<20)
			fd := open(t, m.path("data"), unix.O_WRONLY|unix.O_DIRECT)
			if n, err := unix.Pwrite(fd, want, 0); n != len(want) || err != nil {
				t.Fatalf("write: %d, %v", n, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(sizes) != 1 || sizes[c.maxWrite] != c.requests {
				t.Errorf("requests by size: %v", sizes)
			}
			for i, b := range kept {
				if !bytes.Equal(b.Bytes()[:c.maxWrite], want[i*c.maxWrite:][:c.maxWrite]) {
					t.Errorf("buffer %d changed after the reply", i)
				}
				b.Release()
			}
		})
	}
}

func TestReadOfOneMiBIsOneRequest(t *testing.T) { lab.Loops(t, testReadOfOneMiBIsOneRequest) }

func testReadOfOneMiBIsOneRequest(t *testing.T, on fuse.IOURing) {
	fs := newMemFS(t, on)
	want := pattern(t, 1<<20)
	fs.add("data", want)
	var mu sync.Mutex
	var sizes []uint32
	fs.setTake(func(r *fuse.Request) bool {
		if r.Opcode() == fuse.OpRead {
			mu.Lock()
			defer mu.Unlock()
			sizes = append(sizes, fuse.In[fuse.ReadIn](r).Size)
		}
		return false
	})
	m := mount(t, fs, fuse.Config{})
	fd := open(t, m.path("data"), unix.O_RDONLY|unix.O_DIRECT)
	got := aligned(t, 1<<20)
	if n, err := unix.Pread(fd, got, 0); n != len(got) || err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read: %d, %v", n, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(sizes, []uint32{1 << 20}) {
		t.Errorf("requests of %v bytes", sizes)
	}
}

func TestParallelClients(t *testing.T) { lab.Loops(t, testParallelClients) }

func testParallelClients(t *testing.T, on fuse.IOURing) {
	for _, readers := range []int{1, 4} {
		t.Run(fmt.Sprint(readers), func(t *testing.T) {
			fs := newMemFS(t, on)
			want := pattern(t, 4<<20)
			fs.add("data", want)
			m := mount(t, fs, fuse.Config{Readers: readers})
			var group errgroup.Group
			for i := range 16 {
				fd := open(t, m.path("data"), unix.O_RDONLY|unix.O_DIRECT)
				buf := aligned(t, 128<<10)
				rng := rand.New(rand.NewPCG(1, uint64(i)))
				group.Go(func() error {
					for range 200 {
						off, size := rng.IntN(len(want)-len(buf))&^4095, 4096<<rng.IntN(6)
						n, err := unix.Pread(fd, buf[:size], int64(off))
						if err != nil || !bytes.Equal(buf[:n], want[off:off+size]) {
							return fmt.Errorf("%d bytes at %d: got %d, %w", size, off, n, err)
						}
						var st unix.Stat_t
						if err := unix.Stat(m.path("data"), &st); err != nil {
							return err
						}
					}
					return nil
				})
			}
			if err := group.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestIdleMountsHoldNothing(t *testing.T) { lab.Loops(t, testIdleMountsHoldNothing) }

func testIdleMountsHoldNothing(t *testing.T, on fuse.IOURing) {
	fs := newMemFS(t, on)
	fs.add("data", nil).size = 1 << 20
	threads := func() int {
		names, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	before := threads()
	for range 200 {
		m := mount(t, fs, fuse.Config{Readers: 2})
		var st unix.Stat_t
		if err := unix.Stat(m.path("data"), &st); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "idle mounts hold no buffer", func() bool { return fs.slots.out.Load() == 0 })
	most := 20
	if on != fuse.IOURingOff {
		most += 200 // each ring has one
	}
	if n := threads() - before; n > most {
		t.Errorf("200 idle mounts hold %d threads", n)
	}
}

func TestMapping(t *testing.T) { lab.Loops(t, testMapping) }

func testMapping(t *testing.T, on fuse.IOURing) {
	fs := newMemFS(t, on)
	fs.open = 0
	f := fs.add("data", bytes.Repeat([]byte("a"), 4<<20))
	m := mount(t, fs, fuse.Config{})
	if out, err := client(t, "map", m.path("data")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if n := bytes.Count(f.data, []byte("b")); n != 4<<20 {
		t.Errorf("%d bytes arrived", n)
	}
}

func TestReadAhead(t *testing.T) { lab.Loops(t, testReadAhead) }

func testReadAhead(t *testing.T, on fuse.IOURing) {
	fs := newMemFS(t, on)
	fs.open = 0
	fs.add("data", nil).size = 64 << 20
	var mu sync.Mutex
	largest := uint32(0)
	fs.setTake(func(r *fuse.Request) bool {
		if r.Opcode() == fuse.OpRead {
			mu.Lock()
			largest = max(largest, fuse.In[fuse.ReadIn](r).Size)
			mu.Unlock()
		}
		return false
	})
	m := mount(t, fs, fuse.Config{})
	if err := fuse.SetLimits(m.id, fuse.Limits{ReadAhead: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if out, err := client(t, "read", m.path("data")).Output(); err != nil || len(out) != 64<<20 {
		t.Fatalf("read %d bytes, %v", len(out), err)
	}
	mu.Lock()
	defer mu.Unlock()
	if largest != 1<<20 {
		t.Errorf("the kernel read at most %d bytes ahead", largest)
	}
}

func TestNotifyInvalInode(t *testing.T) { lab.Loops(t, testNotifyInvalInode) }

func testNotifyInvalInode(t *testing.T, on fuse.IOURing) {
	fs := newMemFS(t, on)
	fs.open, fs.ttl = fuse.OpenKeepCache, 3600
	f := fs.add("data", []byte("old"))
	m := mount(t, fs, fuse.Config{})
	content := func() string {
		fd := open(t, m.path("data"), unix.O_RDONLY)
		buf := make([]byte, 64)
		n, err := unix.Pread(fd, buf, 0)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	first := content()
	fs.mu.Lock()
	f.data, f.size = []byte("changed"), 7
	fs.mu.Unlock()
	if second := content(); first != "old" || second != "old" {
		t.Fatalf("read %q, then from the cache %q", first, second)
	}
	if err := m.conn.NotifyInvalInode(f.id, 0, 0); err != nil {
		t.Fatal(err)
	}
	if got := content(); got != "changed" {
		t.Errorf("after the notification: %q", got)
	}
	if err := m.conn.NotifyInvalInode(999, 0, 0); err != nil {
		t.Errorf("of a node that the kernel does not know: %v", err)
	}
}

func TestNotifyInvalEntry(t *testing.T) { lab.Loops(t, testNotifyInvalEntry) }

func testNotifyInvalEntry(t *testing.T, on fuse.IOURing) {
	fs := newMemFS(t, on)
	fs.ttl = 3600
	f := fs.add("before", nil)
	m := mount(t, fs, fuse.Config{})
	var st unix.Stat_t
	if err := unix.Stat(m.path("before"), &st); err != nil {
		t.Fatal(err)
	}
	fs.mu.Lock()
	f.name = "after"
	fs.mu.Unlock()
	if err := unix.Stat(m.path("before"), &st); err != nil {
		t.Fatalf("the name is not cached: %v", err)
	}
	if err := m.conn.NotifyInvalEntry(fuse.RootID, "before"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Stat(m.path("before"), &st); !errors.Is(err, unix.ENOENT) {
		t.Errorf("after the notification: %v", err)
	}
	if err := m.conn.NotifyInvalEntry(fuse.RootID, "never"); err != nil {
		t.Errorf("of a name that the kernel does not know: %v", err)
	}
}

func TestReadOnlyMount(t *testing.T) { lab.Loops(t, testReadOnlyMount) }

func testReadOnlyMount(t *testing.T, on fuse.IOURing) {
	fs := newMemFS(t, on)
	dir := t.TempDir()
	dev, err := fuse.OpenDevice()
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	if err := fuse.Mount(dev, dir, fuse.MountOptions{Source: "memfs", ReadOnly: true, Flags: unix.MS_NOEXEC}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = fuse.Unmount(dir) }()
	(&mounted{dev: dev, dir: dir}).serve(t, fs, fuse.Config{})
	var vfs unix.Statfs_t
	if err := unix.Statfs(dir, &vfs); err != nil || vfs.Flags&unix.ST_RDONLY == 0 || vfs.Flags&unix.ST_NOEXEC == 0 {
		t.Errorf("flags %#x, %v", vfs.Flags, err)
	}
	if _, err := unix.Open(dir+"/new", unix.O_CREAT|unix.O_RDWR, 0o644); !errors.Is(err, unix.EROFS) {
		t.Errorf("create: %v", err)
	}
}

func TestMountErrors(t *testing.T) {
	dev, err := fuse.OpenDevice()
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	missing := t.TempDir() + "/missing"
	if err := fuse.Mount(dev, missing, fuse.MountOptions{}); !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), missing) {
		t.Errorf("mount on a missing directory: %v", err)
	}
	if err := fuse.Unmount(t.TempDir()); !errors.Is(err, unix.EINVAL) {
		t.Errorf("unmount of what is no mount: %v", err)
	}
	if _, err := fuse.ConnectionID(missing); !errors.Is(err, fuse.ErrNotMounted) {
		t.Errorf("connection of what is no mount: %v", err)
	}
	if _, err := fuse.ConnectionID("/proc"); !errors.Is(err, fuse.ErrNotMounted) {
		t.Errorf("connection of another file system: %v", err)
	}
}
