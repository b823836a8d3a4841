package ninefs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/lab"
)

// bigDirectory is how many files the issue of large directories is tried with.
const bigDirectory = 100_000

func TestBigDirectory(t *testing.T) {
	noLeak(t)
	served := exporter(t)
	check(t, os.Mkdir(filepath.Join(served.root, "d"), 0o755))
	for i := range bigDirectory {
		check(t, unix.Mknod(fmt.Sprintf("%s/d/file-%06d", served.root, i), unix.S_IFREG|0o644, 0))
	}
	for _, s := range []share{served, {url: lab.Diod(t, served.root).URL, root: served.root}} {
		m := mount(t, s)
		seen := make([]bool, bigDirectory)
		d, err := os.Open(m.path("d"))
		check(t, err)
		names, err := d.Readdirnames(-1)
		check(t, errors.Join(err, d.Close()))
		for _, name := range names {
			i, err := strconv.Atoi(strings.TrimPrefix(name, "file-"))
			if err != nil || seen[i] {
				t.Fatalf("%q is listed (%v), or twice", name, err)
			}
			seen[i] = true
		}
		if len(names) != bigDirectory {
			t.Errorf("%s: %d of %d names listed", s.url, len(names), bigDirectory)
		}
	}
}

// entry is one entry of getdents64(2).
type entry struct {
	ino  uint64
	off  int64
	typ  byte
	name string
}

// getdents reads all entries from where the directory's offset is, a few at a time.
func getdents(t *testing.T, fd int) []entry {
	t.Helper()
	var all []entry
	buf := make([]byte, 300)
	for {
		n, err := unix.Getdents(fd, buf)
		check(t, err)
		if n == 0 {
			return all
		}
		for b := buf[:n]; len(b) > 0; {
			d := direntAt(b)
			all = append(all, d.entry)
			b = b[d.length:]
		}
	}
}

// TestSeekDirectory is telldir(3), seekdir(3) and rewinddir(3).
func TestSeekDirectory(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		check(t, os.Mkdir(m.path("d"), 0o755))
		for i := range 500 {
			write(t, filepath.Join(s.root, "d", fmt.Sprint(i)), "")
		}
		fd, err := unix.Open(m.path("d"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		check(t, err)
		defer unix.Close(fd)
		all := getdents(t, fd)
		if len(all) != 502 {
			t.Fatalf("%d entries, want 500 and the two dots", len(all))
		}
		for _, from := range []int{0, 1, 2, 17, 250, 501} {
			_, err := unix.Seek(fd, all[from].off, unix.SEEK_SET)
			check(t, err)
			if rest := getdents(t, fd); fmt.Sprint(rest) != fmt.Sprint(all[from+1:]) {
				t.Errorf("after seeking behind entry %d: %d entries, want the %d that followed it", from, len(rest), len(all)-from-1)
			}
		}
		write(t, m.path("d/new"), "")
		_, err = unix.Seek(fd, 0, unix.SEEK_SET)
		check(t, err)
		if again := getdents(t, fd); len(again) != 503 {
			t.Errorf("%d entries after rewinding, want those of before and a new one", len(again))
		}
	})
}

func TestDots(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		check(t, os.MkdirAll(m.path("d/e"), 0o755))
		for _, c := range []struct{ dir, above string }{{"", ""}, {"d", ""}, {"d/e", "d"}} {
			fd, err := unix.Open(m.path(c.dir), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			check(t, err)
			got := map[string]uint64{}
			for _, e := range getdents(t, fd) {
				got[e.name] = e.ino
			}
			check(t, unix.Close(fd))
			if want := stat(t, m.path(c.dir)).Ino; got["."] != want {
				t.Errorf("%q: inode %d of \".\", want %d", c.dir, got["."], want)
			}
			if want := stat(t, m.path(c.above)).Ino; got[".."] != want {
				t.Errorf("%q: inode %d of \"..\", want %d", c.dir, got[".."], want)
			}
		}
	})
}

func TestListWithAttributes(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		for i := range 300 {
			write(t, filepath.Join(s.root, fmt.Sprint(i)), fmt.Sprintf("%*d", i, 0))
		}
		entries, err := os.ReadDir(m.dir)
		check(t, err)
		if len(entries) != 300 {
			t.Fatalf("%d entries, want 300", len(entries))
		}
		for _, e := range entries {
			info, err := e.Info()
			check(t, err)
			if want := int64(max(len(fmt.Sprintf("%*d", atoi(t, e.Name()), 0)), 1)); info.Size() != want {
				t.Errorf("%s has %d bytes, want %d", e.Name(), info.Size(), want)
			}
		}
	})
}

func atoi(t *testing.T, s string) (n int) {
	_, err := fmt.Sscan(s, &n)
	check(t, err)
	return n
}
