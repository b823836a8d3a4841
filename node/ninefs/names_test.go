package ninefs_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/ninefs"
)

func TestRename(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		check(t, os.MkdirAll(m.path("a/deep"), 0o755))
		check(t, os.Mkdir(m.path("b"), 0o755))
		write(t, m.path("a/f"), "f")
		write(t, m.path("a/deep/g"), "g")
		write(t, m.path("b/old"), "old")

		open, err := os.Open(m.path("b/old"))
		check(t, err)
		defer open.Close()
		check(t, os.Rename(m.path("a/f"), m.path("b/old")))
		wantContent(t, m.path("b/old"), "f")
		buf := make([]byte, 8)
		if n, _ := open.ReadAt(buf, 0); string(buf[:n]) != "old" {
			t.Errorf("the file that was replaced holds %q", buf[:n])
		}
		if info, err := open.Stat(); err != nil || info.Size() != 3 {
			t.Errorf("stat of the file that was replaced: %v", err)
		}

		check(t, os.Rename(m.path("a"), m.path("b/a2")))
		wantContent(t, m.path("b/a2/deep/g"), "g")
		_, err = os.Lstat(m.path("a"))
		wantErr(t, err, unix.ENOENT)
		check(t, os.Mkdir(m.path("a"), 0o755))
		check(t, os.Mkdir(m.path("a/deep"), 0o755))
		write(t, m.path("a/deep/g"), "another")
		wantContent(t, m.path("b/a2/deep/g"), "g")
		check(t, os.Chmod(m.path("b/a2/deep/g"), 0o600))
		if st := stat(t, filepath.Join(s.root, "b/a2/deep/g")); st.Mode&0o777 != 0o600 {
			t.Errorf("chmod went elsewhere: mode %o", st.Mode)
		}

		wantErr(t, os.Rename(m.path("b"), m.path("b/a2/loop")), unix.EINVAL)
		wantErr(t, unix.Rename(m.path("a"), m.path("b/a2")), unix.ENOTEMPTY)
		wantErr(t, unix.Rename(m.path("b/old"), m.path("b/a2")), unix.EISDIR)
	})
}

// TestRenameFlags: 9P has no message for them, and a file system that can't must say so: EINVAL, which callers know.
func TestRenameFlags(t *testing.T) {
	noLeak(t)
	m := mount(t, exporter(t))
	write(t, m.path("a"), "a")
	write(t, m.path("b"), "b")
	for _, flags := range []uint{unix.RENAME_NOREPLACE, unix.RENAME_EXCHANGE, unix.RENAME_WHITEOUT} {
		err := unix.Renameat2(unix.AT_FDCWD, m.path("a"), unix.AT_FDCWD, m.path("c"), flags)
		if flags == unix.RENAME_EXCHANGE {
			wantErr(t, err, unix.ENOENT) // the kernel's own answer
			err = unix.Renameat2(unix.AT_FDCWD, m.path("a"), unix.AT_FDCWD, m.path("b"), flags)
		}
		wantErr(t, err, unix.EINVAL)
	}
	// The kernel answers this one itself, from the name that is there.
	wantErr(t, unix.Renameat2(unix.AT_FDCWD, m.path("a"), unix.AT_FDCWD, m.path("b"), unix.RENAME_NOREPLACE), unix.EEXIST)
	wantContent(t, m.path("a"), "a")
	wantContent(t, m.path("b"), "b")
}

func TestLinks(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		check(t, os.Mkdir(m.path("d"), 0o755))
		write(t, m.path("f"), "one file")
		check(t, os.Link(m.path("f"), m.path("d/g")))
		f, g := stat(t, m.path("f")), stat(t, m.path("d/g"))
		if f.Ino != g.Ino || f.Nlink != 2 || g.Nlink != 2 {
			t.Errorf("inode %d with %d links and inode %d with %d, want one inode with 2", f.Ino, f.Nlink, g.Ino, g.Nlink)
		}
		write(t, m.path("d/g"), "changed")
		wantContent(t, m.path("f"), "changed")
		check(t, os.Remove(m.path("f")))
		wantContent(t, m.path("d/g"), "changed")
		if st := stat(t, m.path("d/g")); st.Nlink != 1 {
			t.Errorf("%d links after one of two was removed", st.Nlink)
		}
		wantErr(t, os.Link(m.path("d/g"), m.path("d/g")), unix.EEXIST)

		long := strings.Repeat("target/", 500)
		check(t, os.Symlink(long, m.path("s")))
		got, err := os.Readlink(m.path("s"))
		check(t, err)
		if got != long {
			t.Errorf("the link leads to %q", got)
		}
		check(t, os.Symlink("d/g", m.path("to")))
		wantContent(t, m.path("to"), "changed")
		if st := stat(t, m.path("to")); st.Mode&unix.S_IFMT != unix.S_IFLNK || st.Size != 3 {
			t.Errorf("mode %o and size %d of a symbolic link", st.Mode, st.Size)
		}
	})
}

func TestDirectories(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		check(t, os.Mkdir(m.path("d"), 0o751))
		if st := stat(t, m.path("d")); st.Mode != unix.S_IFDIR|0o751 {
			t.Errorf("mode %o", st.Mode)
		}
		wantErr(t, os.Mkdir(m.path("d"), 0o755), unix.EEXIST)
		write(t, m.path("d/f"), "")
		wantErr(t, unix.Rmdir(m.path("d")), unix.ENOTEMPTY)
		wantErr(t, unix.Unlink(m.path("d")), unix.EISDIR)
		wantErr(t, unix.Rmdir(m.path("d/f")), unix.ENOTDIR)
		check(t, os.Remove(m.path("d/f")))
		check(t, unix.Rmdir(m.path("d")))
		wantErr(t, unix.Rmdir(m.path("d")), unix.ENOENT)
		wantErr(t, os.WriteFile(m.path("none/f"), nil, 0o600), unix.ENOENT)
	})
}

// TestAnyName: a name is bytes; only / and NUL are not.
func TestAnyName(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		names := []string{strings.Repeat("x", 255), strings.Repeat("\xff", 255), "-rf", "a b", "...", "日本語"}
		for b := 1; b < 256; b++ {
			if b != '/' && b != '.' {
				names = append(names, string([]byte{byte(b)}))
			}
		}
		for i, name := range names {
			write(t, m.path(name), fmt.Sprint(i))
		}
		for i, name := range names {
			wantContent(t, filepath.Join(s.root, name), fmt.Sprint(i))
		}
		d, err := os.Open(m.dir)
		check(t, err)
		defer d.Close()
		got, err := d.Readdirnames(-1)
		check(t, err)
		slices.Sort(got)
		slices.Sort(names)
		if !slices.Equal(got, names) {
			t.Errorf("%d names listed, want %d:\n%q", len(got), len(names), got)
		}
	})
}

func TestSpecialFiles(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		for _, c := range []struct {
			name string
			mode uint32
			dev  uint64
		}{
			{"fifo", unix.S_IFIFO | 0o640, 0},
			{"socket", unix.S_IFSOCK | 0o600, 0},
			{"file", unix.S_IFREG | 0o604, 0},
			{"null", unix.S_IFCHR | 0o666, unix.Mkdev(1, 3)},
			{"big", unix.S_IFBLK | 0o600, unix.Mkdev(0xabc, 0x12345)},
		} {
			check(t, unix.Mknod(m.path(c.name), c.mode, int(c.dev)))
			for _, path := range []string{m.path(c.name), filepath.Join(s.root, c.name)} {
				if st := stat(t, path); st.Mode != c.mode || st.Rdev != c.dev {
					t.Errorf("%s: mode %o, device %#x, want %o, %#x", path, st.Mode, st.Rdev, c.mode, c.dev)
				}
			}
		}
		passThroughFIFO(t, m.path("fifo"))
	})
}

// passThroughFIFO moves a message through a pipe of the mount: that is the kernel's work, on a node of ours.
func passThroughFIFO(t *testing.T, path string) {
	r, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	check(t, err)
	defer unix.Close(r)
	w, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	check(t, err)
	defer unix.Close(w)
	_, err = unix.Write(w, []byte("through"))
	check(t, err)
	buf := make([]byte, 16)
	if n, err := unix.Read(r, buf); err != nil || string(buf[:n]) != "through" {
		t.Errorf("read %q (%v) from the pipe", buf[:max(n, 0)], err)
	}
}

// TestMovedElsewhere: what another client moved is found again under its new name, as the same file.
func TestMovedElsewhere(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s, func(o *ninefs.Options) { o.Cache = ninefs.CacheNone })
		check(t, os.MkdirAll(m.path("a/b"), 0o755))
		write(t, m.path("a/b/f"), "f")
		before := stat(t, m.path("a/b/f"))
		check(t, os.Rename(filepath.Join(s.root, "a/b"), filepath.Join(s.root, "c")))
		_, err := os.Lstat(m.path("a/b/f"))
		wantErr(t, err, fs.ErrNotExist)
		wantContent(t, m.path("c/f"), "f")
		if after := stat(t, m.path("c/f")); after.Ino != before.Ino {
			t.Errorf("inode %d was %d", after.Ino, before.Ino)
		}
		// Turned round: what was below is above.
		check(t, os.MkdirAll(m.path("x/y"), 0o755))
		stat(t, m.path("x/y"))
		check(t, os.Rename(filepath.Join(s.root, "x/y"), filepath.Join(s.root, "y")))
		check(t, os.Rename(filepath.Join(s.root, "x"), filepath.Join(s.root, "y/x")))
		write(t, m.path("y/x/f"), "below")
		wantContent(t, filepath.Join(s.root, "y/x/f"), "below")
	})
}

// TestMovedWhileOpen: a file that is open can be changed, wherever another client moved it, though its fid was given up.
func TestMovedWhileOpen(t *testing.T) {
	noLeak(t)
	s := exporter(t)
	m := mount(t, s, func(o *ninefs.Options) { o.Fids, o.AttrTimeout = ninefs.NewFidCache(1), -1 })
	write(t, m.path("other"), "")
	f := openRW(t, m.path("f"))
	_, err := f.WriteString("content")
	check(t, err)
	for i, away := range []func() error{
		func() error { return os.Rename(filepath.Join(s.root, "f"), filepath.Join(s.root, "g")) },
		func() error { return os.Remove(filepath.Join(s.root, "g")) },
	} {
		stat(t, m.path("other"))
		check(t, away())
		check(t, f.Truncate(int64(5-i)))
		check(t, f.Chmod(0o640))
		info, err := f.Stat()
		check(t, err)
		if info.Size() != int64(5-i) || info.Mode() != 0o640 {
			t.Errorf("size %d, mode %o", info.Size(), info.Mode())
		}
	}
}

// TestDirectoryMovedWhileOpen is the same of a directory: what is in it is found through its descriptor.
func TestDirectoryMovedWhileOpen(t *testing.T) {
	noLeak(t)
	s := exporter(t)
	m := mount(t, s, func(o *ninefs.Options) { o.Fids, o.AttrTimeout = ninefs.NewFidCache(1), -1 })
	write(t, m.path("other"), "")
	check(t, os.Mkdir(m.path("d"), 0o755))
	dir, err := unix.Open(m.path("d"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	check(t, err)
	defer unix.Close(dir)
	check(t, os.Rename(filepath.Join(s.root, "d"), filepath.Join(s.root, "e")))
	stat(t, m.path("other"))
	fd, err := unix.Openat(dir, "f", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	check(t, err)
	check(t, unix.Close(fd))
	stat(t, filepath.Join(s.root, "e/f"))
}

// TestLinkedElsewhere: a file that another client gave a second name stays one file here when it loses its first while it is open.
func TestLinkedElsewhere(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		write(t, m.path("f"), "old")
		f := openRW(t, m.path("f"))
		check(t, os.Link(filepath.Join(s.root, "f"), filepath.Join(s.root, "g")))
		check(t, os.Remove(m.path("f")))
		g := openRW(t, m.path("g"))
		for _, content := range []string{"old", "new"} {
			_, err := f.WriteAt([]byte(content), 0)
			check(t, err)
			got := make([]byte, 3)
			_, err = g.ReadAt(got, 0)
			check(t, err)
			if string(got) != content {
				t.Errorf("the other name leads to %q, want %q", got, content)
			}
		}
	})
}
