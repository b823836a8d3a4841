package ninefs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/ninefs"
	"github.com/csi-9p/csi-9p/test/lab"
)

func loose(o *ninefs.Options) { o.Cache = ninefs.Loose }

// openFor opens a file of a mount without making the runtime's poller look at it.
func openFor(t *testing.T, path string, flags int) int {
	t.Helper()
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o644)
	check(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

func pwrite(t *testing.T, fd int, data string, off int64) {
	t.Helper()
	if n, err := unix.Pwrite(fd, []byte(data), off); n != len(data) || err != nil {
		t.Fatalf("wrote %d bytes, %v", n, err)
	}
}

// TestWriteBack: what is written is seen on this mount at once, and on the server after fsync(2), and after close(2) at the latest.
// It is written into the middle of pages, through a descriptor that can't read.
func TestWriteBack(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s, loose)
		old := strings.Repeat("old content ", 1000)
		write(t, filepath.Join(s.root, "f"), old)
		wantContent(t, m.path("f"), old)
		fd := openFor(t, m.path("f"), unix.O_WRONLY)
		pwrite(t, fd, "new", 5000)
		pwrite(t, fd, "end", 20_000)
		want := old[:5000] + "new" + old[5003:] + strings.Repeat("\x00", 20_000-len(old)) + "end"
		if st := stat(t, m.path("f")); st.Size != int64(len(want)) || st.Blocks == 0 {
			t.Errorf("%d bytes in %d blocks, want %d", st.Size, st.Blocks, len(want))
		}
		buf := make([]byte, len(want)+1)
		n, err := unix.Pread(openFor(t, m.path("f"), unix.O_RDONLY), buf, 0)
		if check(t, err); string(buf[:n]) != want {
			t.Error("another descriptor does not show what was written")
		}
		wantContent(t, filepath.Join(s.root, "f"), old) // nothing was closed since
		check(t, unix.Fsync(fd))
		wantContent(t, filepath.Join(s.root, "f"), want)

		pwrite(t, fd, "last", 20_000)
		check(t, unix.Ftruncate(fd, 20_002))
		check(t, unix.Close(fd))
		want = want[:20_000] + "la"
		wantContent(t, filepath.Join(s.root, "f"), want)
		wantContent(t, m.path("f"), want)
		here, there := stat(t, m.path("f")), stat(t, filepath.Join(s.root, "f"))
		if here.Mtim != there.Mtim {
			t.Errorf("modified at %v, on the server at %v", here.Mtim, there.Mtim)
		}
	})
}

// TestWriteBackOvertaken: the kernel flushes a file's time while what was written to it is under way, and the server gets that last.
// In the end it shows the kernel's time all the same.
func TestWriteBackOvertaken(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, fd int) (end func() error){
		"close": func(t *testing.T, fd int) func() error {
			pwrite(t, fd, "new", 0)
			return func() error { return unix.Close(fd) }
		},
		"unmap": func(t *testing.T, fd int) func() error {
			page, err := unix.Mmap(fd, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			check(t, err)
			check(t, unix.Close(fd))
			check(t, unix.Madvise(page, unix.MADV_POPULATE_WRITE))
			return func() error { return unix.Munmap(page) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			noLeak(t)
			s := exporter(t)
			there := filepath.Join(s.root, "f")
			write(t, there, "old")
			var overtook atomic.Bool
			m := mount(t, overtaken(t, s, &overtook), loose)
			dir := openFor(t, m.dir, unix.O_RDONLY)
			fd, err := unix.Open(m.path("f"), unix.O_RDWR|unix.O_CLOEXEC, 0)
			check(t, err)
			end := change(t, fd)
			want := stat(t, m.path("f")).Mtim
			lab.Eventually(t, 5*time.Second, func() error {
				write(t, filepath.Join(s.root, "clock"), "tick")
				if stat(t, filepath.Join(s.root, "clock")).Mtim == want {
					return errors.New("the server's clock stands")
				}
				return nil
			})
			check(t, unix.Syncfs(dir))
			if !overtook.Load() || stat(t, there).Mtim == want {
				t.Fatal("the time is that of the write")
			}
			check(t, end())
			lab.Eventually(t, 5*time.Second, func() error { // the server is told of the end of a mapping, and nobody waits
				if got := stat(t, there).Mtim; got != want {
					return fmt.Errorf("modified at %v, on the server at %v", want, got)
				}
				return nil
			})
			if got := stat(t, m.path("f")).Mtim; got != want {
				t.Errorf("modified at %v, and then at %v", want, got)
			}
		})
	}
}

// TestWriteBackOfNewFile: tar --sparse takes a file without blocks for a hole.
func TestWriteBackOfNewFile(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s, loose)
		fd := openFor(t, m.path("f"), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
		pwrite(t, fd, "content", 0)
		if st := stat(t, m.path("f")); st.Size != 7 || st.Blocks == 0 {
			t.Errorf("%d bytes in %d blocks", st.Size, st.Blocks)
		}
		check(t, os.Rename(m.path("f"), m.path("g")))
		check(t, unix.Close(fd))
		wantContent(t, filepath.Join(s.root, "g"), "content")
	})
}

// TestWriteBackAppends: the kernel knows where the file ends, whoever appends and however.
func TestWriteBackAppends(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s, loose)
		want := ""
		var fds []int
		for range 3 {
			fds = append(fds, openFor(t, m.path("log"), unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT))
		}
		for i := range 60 {
			line := strings.Repeat(fmt.Sprint(i), 1+i*17)
			pwrite(t, fds[i%3], line, 0) // O_APPEND disregards the offset
			if want += line; i == 30 {
				want = want[:1000]
				check(t, unix.Truncate(m.path("log"), 1000))
			}
		}
		wantContent(t, m.path("log"), want)
		for _, fd := range fds {
			check(t, unix.Close(fd))
		}
		wantContent(t, filepath.Join(s.root, "log"), want)
	})
}

// TestWriteBackRaces: whoever writes, cuts and syncs a file at the same time, in the end the server has what the mount shows.
func TestWriteBackRaces(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s, loose)
		const rounds, most = 200, 1 << 20
		var racing sync.WaitGroup
		for i, act := range []func(fd int, r *rand.Rand) error{
			func(fd int, r *rand.Rand) error {
				_, err := unix.Pwrite(fd, bytes.Repeat([]byte{byte(r.Int())}, r.IntN(20_000)), r.Int64N(most))
				return err
			},
			func(fd int, r *rand.Rand) error {
				_, err := unix.Pwrite(fd, bytes.Repeat([]byte{byte(r.Int())}, r.IntN(100)), r.Int64N(most))
				return err
			},
			func(fd int, r *rand.Rand) error { return unix.Ftruncate(fd, r.Int64N(most)) },
			func(fd int, r *rand.Rand) error {
				_, err := unix.Pread(fd, make([]byte, 50_000), r.Int64N(most))
				return err
			},
			func(fd int, _ *rand.Rand) error { return unix.Fdatasync(fd) },
		} {
			fd := openFor(t, m.path("f"), unix.O_RDWR|unix.O_CREAT)
			r := rand.New(rand.NewPCG(uint64(i), 1))
			racing.Go(func() {
				for range rounds {
					if err := act(fd, r); err != nil {
						t.Errorf("racer %d: %v", i, err)
						return
					}
				}
			})
		}
		racing.Wait()
		fd := openFor(t, m.path("f"), unix.O_RDONLY)
		shown := make([]byte, most+20_000)
		n, err := unix.Pread(fd, shown, 0)
		check(t, err)
		check(t, unix.Close(fd))
		if st := stat(t, m.path("f")); st.Size != int64(n) {
			t.Errorf("%d bytes of %d were read", n, st.Size)
		}
		got, err := os.ReadFile(filepath.Join(s.root, "f"))
		check(t, err)
		if !bytes.Equal(got, shown[:n]) {
			t.Errorf("the server has %d bytes, others than the %d shown", len(got), n)
		}
	})
}

// TestWriteBackWithoutName: a file that was removed, or replaced, while it is open takes what is written to it, and nothing fails.
func TestWriteBackWithoutName(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s, loose)
		for name, lose := range map[string]func(path string) error{
			"removed": os.Remove,
			"replaced": func(path string) error {
				return os.Rename(m.path("other"), path)
			},
		} {
			write(t, m.path("other"), "other")
			fd := openFor(t, m.path(name), unix.O_RDWR|unix.O_CREAT)
			pwrite(t, fd, "before", 0)
			check(t, lose(m.path(name)))
			pwrite(t, fd, " and after", 6)
			check(t, unix.Fsync(fd))
			buf := make([]byte, 100)
			n, err := unix.Pread(fd, buf, 0)
			check(t, err)
			if string(buf[:n]) != "before and after" {
				t.Errorf("%s: %q", name, buf[:n])
			}
			check(t, unix.Close(fd))
		}
		wantContent(t, filepath.Join(s.root, "replaced"), "other")
	})
}

// TestWriteBackFails: who closes or syncs a file learns that it could not be written.
func TestWriteBackFails(t *testing.T) {
	noLeak(t)
	full := lab.Exporter(t, lab.SmallDisk(t, 1<<20))
	s := share{url: full.URL, root: full.Root}
	m := mount(t, s, loose)
	for name, end := range map[string]func(fd int) error{"fsync": unix.Fsync, "close": unix.Close} {
		fd := openFor(t, m.path(name), unix.O_WRONLY|unix.O_CREAT)
		pwrite(t, fd, strings.Repeat("too much ", 300_000), 0)
		wantErr(t, end(fd), unix.ENOSPC)
		if name == "fsync" {
			_ = unix.Close(fd)
		}
		check(t, os.Remove(m.path(name)))
	}
	write(t, m.path("f"), "there is room again")
	wantContent(t, filepath.Join(s.root, "f"), "there is room again")
}

// TestMissingNamesAreRemembered, in Loose alone. What this mount makes is there all the same.
func TestMissingNamesAreRemembered(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s, loose)
		for _, name := range []string{"f", "d", "link", "new"} {
			wantErr(t, unix.Lstat(m.path(name), &unix.Stat_t{}), unix.ENOENT)
		}
		write(t, filepath.Join(s.root, "f"), "by another")
		wantErr(t, unix.Lstat(m.path("f"), &unix.Stat_t{}), unix.ENOENT)
		fd := openFor(t, m.path("f"), unix.O_RDWR|unix.O_CREAT) // asks
		check(t, unix.Close(fd))
		wantContent(t, m.path("f"), "by another")

		check(t, os.Mkdir(m.path("d"), 0o755))
		check(t, os.Link(m.path("f"), m.path("link")))
		check(t, os.Rename(m.path("f"), m.path("new")))
		for name, want := range map[string]error{"f": unix.ENOENT, "d": nil, "link": nil, "new": nil} {
			if err := unix.Lstat(m.path(name), &unix.Stat_t{}); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
		}
	})
}

// TestChangedUnderLoose: a file that somebody else changed in spite of the mode is seen as it is, with its size, by who opens it
// when nobody here has it open.
func TestChangedUnderLoose(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s, loose)
		write(t, m.path("f"), "written here")
		check(t, os.Link(m.path("f"), m.path("g")))
		for _, content := range []string{"longer than what was written here", "short", ""} {
			stat(t, m.path("f"))
			write(t, filepath.Join(s.root, "f"), content)
			lab.Eventually(t, 10*time.Second, func() error {
				got, err := os.ReadFile(m.path("f"))
				if err == nil && string(got) != content {
					err = fmt.Errorf("holds %q, want %q", got, content)
				}
				return err
			})
			if st := stat(t, m.path("f")); st.Size != int64(len(content)) {
				t.Errorf("%d bytes, want %d", st.Size, len(content))
			}
		}
		write(t, m.path("f"), "here again")
		wantContent(t, filepath.Join(s.root, "g"), "here again")
	})
}

// TestChangedHereUnderLoose: what this mount does to a file is no reason to read it again.
func TestChangedHereUnderLoose(t *testing.T) {
	noLeak(t)
	s := exporter(t)
	m := mount(t, s, loose)
	content := strings.Repeat("content", 1000)
	write(t, m.path("f0"), content)
	reads := func() (n uint64) {
		for _, c := range m.session.Stats().Calls {
			if c.Type == ninep.TypeTread {
				n = c.Latency.Count()
			}
		}
		return n
	}
	before := reads()
	for i := range 20 {
		now, next := m.path(fmt.Sprint("f", i)), m.path(fmt.Sprint("f", i+1))
		check(t, os.Chmod(now, 0o600))
		check(t, os.Chtimes(now, time.Unix(1e9, 0), time.Unix(1e9, 0)))
		check(t, unix.Setxattr(now, "user.a", []byte("b"), 0))
		check(t, os.Link(now, m.path("link")))
		check(t, os.Remove(m.path("link")))
		check(t, os.Rename(now, next))
		wantContent(t, next, content)
	}
	if n := reads() - before; n > 0 {
		t.Errorf("%d reads of what was written here", n)
	}
}

// TestWriteBackByUser: where the server checks permissions the kernel may have to write what it may not read, and may not set a
// file's time.
func TestWriteBackByUser(t *testing.T) {
	noLeak(t)
	s := exporter(t)
	var session atomic.Pointer[ninep.Session]
	m := mount(t, s, loose, func(o *ninefs.Options) {
		o.Attach = func(ctx context.Context, uid uint32) (*ninep.Fid, error) {
			return session.Load().Attach(ctx, ninep.AttachOptions{UID: uid})
		}
	})
	session.Store(m.session)
	for name, mode := range map[string]os.FileMode{"writable": 0o666, "write-only": 0o222} {
		write(t, m.path(name), "0123456789")
		check(t, os.Chmod(m.path(name), mode))
		check(t, as(t, 1001, 1001, "dd", "of="+m.path(name), "bs=1", "seek=3", "conv=notrunc", "if=/dev/zero", "count=2", "status=none"))
		wantContent(t, filepath.Join(s.root, name), "012\x00\x0056789")
		check(t, as(t, 1001, 1001, "truncate", "-s5", m.path(name)))
		wantContent(t, filepath.Join(s.root, name), "012\x00\x00")
	}
	if st := stat(t, filepath.Join(s.root, "writable")); st.Uid != 0 {
		t.Errorf("owner %d", st.Uid)
	}
}
