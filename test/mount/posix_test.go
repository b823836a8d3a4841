package mount_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/lab"
)

// TestPOSIX is what programs expect of a file system, one thing each.
func TestPOSIX(t *testing.T) {
	forServers(t, func(t *testing.T, server *lab.Server) {
		mount := lab.Mount(t, server.URL)
		for name, check := range map[string]func(t *testing.T, dir string){
			"append": appendsAtEnd, "exclusive": exclusiveCreate, "direct": directIO, "links": links, "special": specialFiles,
			"attributes": attributes, "xattr": extendedAttributes, "noreplace": renameNoReplace, "unlinked": unlinkedOpen,
			"large": largeFile, "truncated-unlinked": truncatedUnlinked, "names": anyNames, "statfs": statfs, "removal": removal, "umask": modes, "seek": positions,
		} {
			t.Run(name, func(t *testing.T) {
				dir := filepath.Join(mount.Dir, name)
				must(t, os.Mkdir(dir, 0o755))
				check(t, dir)
			})
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants fails unless the error is that number.
func wants(t *testing.T, what string, got error, want unix.Errno) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func openFile(t *testing.T, path string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flags, 0o644)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func appendsAtEnd(t *testing.T, dir string) {
	a := openFile(t, dir+"/f", os.O_WRONLY|os.O_CREATE|os.O_APPEND)
	b := openFile(t, dir+"/f", os.O_WRONLY|os.O_APPEND)
	for i := range 50 {
		_, err := fmt.Fprintf([]*os.File{a, b}[i%2], "%d\n", i)
		must(t, err)
	}
	var want strings.Builder
	for i := range 50 {
		fmt.Fprintf(&want, "%d\n", i)
	}
	sees(t, dir+"/f", want.String())
}

func exclusiveCreate(t *testing.T, dir string) {
	put(t, dir+"/f", "data")
	_, err := os.OpenFile(dir+"/f", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	wants(t, "O_EXCL", err, unix.EEXIST)
	must(t, os.Symlink("nowhere", dir+"/l"))
	_, err = os.OpenFile(dir+"/l", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	wants(t, "O_EXCL on a dangling link", err, unix.EEXIST)
	openFile(t, dir+"/f", os.O_WRONLY|os.O_TRUNC)
	sees(t, dir+"/f", "")
	_, err = os.OpenFile(dir+"/f/below", os.O_RDONLY, 0)
	wants(t, "below a file", err, unix.ENOTDIR)
	_, err = os.OpenFile(dir, os.O_WRONLY, 0)
	wants(t, "a directory for writing", err, unix.EISDIR)
}

func directIO(t *testing.T, dir string) {
	f := openFile(t, dir+"/f", os.O_RDWR|os.O_CREATE|unix.O_DIRECT)
	page, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	must(t, err)
	defer func() { must(t, unix.Munmap(page)) }()
	want := bytes.Repeat([]byte("direct! "), 1<<17)
	copy(page, want)
	_, err = f.WriteAt(page, 4096)
	must(t, err)
	clear(page)
	_, err = f.ReadAt(page, 4096)
	must(t, err)
	if !bytes.Equal(page, want) {
		t.Error("read something else")
	}
	sees(t, dir+"/f", string(make([]byte, 4096))+string(want))
}

func links(t *testing.T, dir string) {
	put(t, dir+"/a", "data")
	must(t, os.Link(dir+"/a", dir+"/b"))
	a, err := os.Stat(dir + "/a")
	must(t, err)
	b, err := os.Stat(dir + "/b")
	must(t, err)
	if !os.SameFile(a, b) {
		t.Error("a hard link is another inode")
	}
	put(t, dir+"/b", "more data")
	sees(t, dir+"/a", "more data")
	target := strings.Repeat("long/", 600)
	must(t, os.Symlink(target, dir+"/l"))
	if got, err := os.Readlink(dir + "/l"); err != nil || got != target {
		t.Errorf("readlink: %d bytes, %v", len(got), err)
	}
	must(t, os.Symlink("a", dir+"/near"))
	sees(t, dir+"/near", "more data")
	must(t, os.Remove(dir+"/a"))
	sees(t, dir+"/b", "more data")
	_, err = os.ReadFile(dir + "/near")
	wants(t, "through a dangling link", err, unix.ENOENT)
	must(t, os.Symlink("loop", dir+"/loop"))
	_, err = os.ReadFile(dir + "/loop")
	wants(t, "a link to itself", err, unix.ELOOP)
	wants(t, "link to a directory", os.Link(dir, dir+"/d"), unix.EPERM)
}

func specialFiles(t *testing.T, dir string) {
	must(t, unix.Mkfifo(dir+"/fifo", 0o640))
	must(t, unix.Mknod(dir+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(t, unix.Mknod(dir+"/sock", unix.S_IFSOCK|0o600, 0))
	for name, want := range map[string]os.FileMode{
		"fifo": os.ModeNamedPipe | 0o640, "null": os.ModeDevice | os.ModeCharDevice | 0o644, "sock": os.ModeSocket | 0o600,
	} {
		info, err := os.Lstat(dir + "/" + name)
		must(t, err)
		if info.Mode() != want {
			t.Errorf("%s: %v, want %v", name, info.Mode(), want)
		}
	}
	var st unix.Stat_t
	must(t, unix.Stat(dir+"/null", &st))
	if st.Rdev != unix.Mkdev(1, 3) {
		t.Errorf("rdev %#x", st.Rdev)
	}
	r := openFile(t, dir+"/fifo", os.O_RDWR)
	_, err := r.WriteString("through")
	must(t, err)
	buf := make([]byte, 7)
	if _, err := r.Read(buf); err != nil || string(buf) != "through" {
		t.Errorf("fifo: %q, %v", buf, err)
	}
}

func attributes(t *testing.T, dir string) {
	put(t, dir+"/f", "data")
	must(t, os.Chmod(dir+"/f", 0o751))
	must(t, os.Chown(dir+"/f", 12, 34))
	when := time.Unix(1234567890, 123456789)
	must(t, os.Chtimes(dir+"/f", when.Add(time.Hour), when))
	var st unix.Stat_t
	must(t, unix.Stat(dir+"/f", &st))
	if st.Mode != unix.S_IFREG|0o751 || st.Uid != 12 || st.Gid != 34 || st.Size != 4 || st.Nlink != 1 {
		t.Errorf("%+v", st)
	}
	if st.Mtim != unix.NsecToTimespec(when.UnixNano()) || st.Atim != unix.NsecToTimespec(when.Add(time.Hour).UnixNano()) {
		t.Errorf("atime %v, mtime %v", st.Atim, st.Mtim)
	}
	put(t, dir+"/g", "")
	must(t, os.Chtimes(dir+"/g", when, when))
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, dir+"/g", nil, 0))
	var now unix.Stat_t
	must(t, unix.Stat(dir+"/g", &now))
	if now.Mtim.Sec < time.Now().Unix()-60 {
		t.Errorf("utimensat with no times: mtime %v", now.Mtim)
	}
	must(t, unix.Chmod(dir+"/f", 0o4755))
	if info, err := os.Stat(dir + "/f"); err != nil || info.Mode() != 0o755|os.ModeSetuid {
		t.Errorf("setuid: %v, %v", info.Mode(), err)
	}
}

func extendedAttributes(t *testing.T, dir string) {
	f := dir + "/f"
	put(t, f, "data")
	value := bytes.Repeat([]byte{0, 1, 0xff}, 700)
	must(t, unix.Setxattr(f, "user.a", value, 0))
	buf := make([]byte, 4096)
	n, err := unix.Getxattr(f, "user.a", buf)
	must(t, err)
	if !bytes.Equal(buf[:n], value) {
		t.Errorf("%d bytes, others", n)
	}
	n, err = unix.Getxattr(f, "user.a", nil)
	if err != nil || n != len(value) {
		t.Errorf("size %d, %v", n, err)
	}
	_, err = unix.Getxattr(f, "user.a", buf[:10])
	wants(t, "a buffer too small", err, unix.ERANGE)
	wants(t, "XATTR_CREATE", unix.Setxattr(f, "user.a", []byte("x"), unix.XATTR_CREATE), unix.EEXIST)
	wants(t, "XATTR_REPLACE", unix.Setxattr(f, "user.b", []byte("x"), unix.XATTR_REPLACE), unix.ENODATA)
	n, err = unix.Listxattr(f, buf)
	must(t, err)
	if !slices.Contains(strings.Split(string(buf[:n]), "\x00"), "user.a") {
		t.Errorf("listed %q", buf[:n])
	}
	must(t, unix.Removexattr(f, "user.a"))
	_, err = unix.Getxattr(f, "user.a", buf)
	wants(t, "removed", err, unix.ENODATA)
	wants(t, "removing it again", unix.Removexattr(f, "user.a"), unix.ENODATA)
}

// renameNoReplace: 9P cannot do it atomically. EINVAL tells a program to do
// without (rename(2)); done, it must be right.
func renameNoReplace(t *testing.T, dir string) {
	put(t, dir+"/a", "a")
	put(t, dir+"/b", "b")
	err := unix.Renameat2(unix.AT_FDCWD, dir+"/a", unix.AT_FDCWD, dir+"/b", unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EEXIST) {
		t.Errorf("RENAME_NOREPLACE: %v", err)
	}
	err = unix.Renameat2(unix.AT_FDCWD, dir+"/a", unix.AT_FDCWD, dir+"/b", unix.RENAME_EXCHANGE)
	wants(t, "RENAME_EXCHANGE", err, unix.EINVAL)
	sees(t, dir+"/a", "a")
	sees(t, dir+"/b", "b")
}

func unlinkedOpen(t *testing.T, dir string) {
	f := openFile(t, dir+"/f", os.O_RDWR|os.O_CREATE)
	_, err := f.WriteString("data")
	must(t, err)
	must(t, os.Remove(dir+"/f"))
	_, err = f.WriteAt([]byte("more"), 4)
	must(t, err)
	buf := make([]byte, 8)
	_, err = f.ReadAt(buf, 0)
	must(t, err)
	if string(buf) != "datamore" {
		t.Errorf("read %q", buf)
	}
	if info, err := f.Stat(); err != nil || info.Size() != 8 {
		t.Errorf("fstat: %v, %v", info, err)
	}
	put(t, dir+"/f", "another")
	if n, _ := f.ReadAt(buf, 0); string(buf[:n]) != "datamore" {
		t.Errorf("read %q", buf[:n])
	}
	sees(t, dir+"/f", "another")
	must(t, f.Close())
	names, err := os.ReadDir(dir)
	must(t, err)
	if len(names) != 1 {
		t.Errorf("there is %v", names)
	}
}

// truncatedUnlinked needs a server that holds files open; one that goes by path has to say no.
func truncatedUnlinked(t *testing.T, dir string) {
	f := openFile(t, dir+"/f", os.O_RDWR|os.O_CREATE)
	_, err := f.WriteString("data")
	must(t, err)
	must(t, os.Remove(dir+"/f"))
	put(t, dir+"/f", "another")
	want := int64(2)
	if err := f.Truncate(2); errors.Is(err, unix.ESTALE) || errors.Is(err, unix.ENOENT) {
		want = 4
	} else {
		must(t, err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != want {
		t.Errorf("fstat: %v, %v", info, err)
	}
	sees(t, dir+"/f", "another")
}

func largeFile(t *testing.T, dir string) {
	f := openFile(t, dir+"/f", os.O_RDWR|os.O_CREATE)
	for _, offset := range []int64{1<<32 - 2, 5 << 32, 1 << 42} {
		_, err := f.WriteAt([]byte("mark"), offset)
		must(t, err)
	}
	for _, offset := range []int64{1<<32 - 2, 5 << 32, 1 << 42} {
		buf := make([]byte, 8)
		if n, _ := f.ReadAt(buf, offset-2); string(buf[:min(n, 6)]) != "\x00\x00mark" {
			t.Errorf("at %d: %q", offset, buf[:n])
		}
	}
	var st unix.Stat_t
	must(t, unix.Fstat(int(f.Fd()), &st))
	if st.Size != 1<<42+4 || st.Blocks > 1<<20/512 {
		t.Errorf("size %d, %d blocks: not sparse", st.Size, st.Blocks)
	}
}

func anyNames(t *testing.T, dir string) {
	want := []string{strings.Repeat("é", 127), "\xff\xfe", "new\nline", " ", "...", "\\", "*", "%", "\x01\x7f"}
	for b := 1; b < 256; b++ {
		if b != '/' && b != '.' {
			want = append(want, "byte"+string([]byte{byte(b)}))
		}
	}
	for _, name := range want {
		put(t, dir+"/"+name, name)
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
		sees(t, dir+"/"+entry.Name(), entry.Name())
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("listed %q", got)
	}
}

func statfs(t *testing.T, dir string) {
	var st unix.Statfs_t
	must(t, unix.Statfs(dir, &st))
	if st.Blocks == 0 || st.Bfree > st.Blocks || st.Bavail > st.Bfree || st.Namelen != 255 || st.Bsize <= 0 {
		t.Errorf("%+v", st)
	}
}

func removal(t *testing.T, dir string) {
	must(t, os.MkdirAll(dir+"/d/e", 0o755))
	put(t, dir+"/f", "data")
	wants(t, "rmdir a full directory", unix.Rmdir(dir+"/d"), unix.ENOTEMPTY)
	wants(t, "rmdir a file", unix.Rmdir(dir+"/f"), unix.ENOTDIR)
	wants(t, "unlink a directory", unix.Unlink(dir+"/d"), unix.EISDIR)
	wants(t, "rename into itself", unix.Rename(dir+"/d", dir+"/d/e/x"), unix.EINVAL)
	wants(t, "rename a directory onto a file", unix.Rename(dir+"/d", dir+"/f"), unix.ENOTDIR)
	wants(t, "rename a file onto a directory", unix.Rename(dir+"/f", dir+"/d"), unix.EISDIR)
	must(t, os.RemoveAll(dir+"/d"))
	must(t, unix.Unlink(dir+"/f"))
	_, err := os.Lstat(dir + "/d")
	wants(t, "lstat of what is gone", err, unix.ENOENT)
}

// modes: the umask applies, and a setgid directory hands its group down.
func modes(t *testing.T, dir string) {
	must(t, os.Chown(dir, 0, 77))
	must(t, unix.Chmod(dir, 0o2775))
	old := unix.Umask(0o027)
	defer unix.Umask(old)
	f, err := os.OpenFile(dir+"/f", os.O_CREATE|os.O_WRONLY, 0o666)
	must(t, err)
	must(t, f.Close())
	must(t, os.Mkdir(dir+"/d", 0o777))
	var st unix.Stat_t
	must(t, unix.Stat(dir+"/f", &st))
	if st.Mode != unix.S_IFREG|0o640 || st.Gid != 77 {
		t.Errorf("file: mode %o, group %d", st.Mode, st.Gid)
	}
	must(t, unix.Stat(dir+"/d", &st))
	if st.Mode != unix.S_IFDIR|0o2750 || st.Gid != 77 {
		t.Errorf("directory: mode %o, group %d", st.Mode, st.Gid)
	}
}

// positions: SEEK_END after another's write sees the new end.
func positions(t *testing.T, dir string) {
	f := openFile(t, dir+"/f", os.O_RDWR|os.O_CREATE)
	_, err := f.WriteString("0123456789")
	must(t, err)
	end, err := f.Seek(-3, 2)
	must(t, err)
	buf := make([]byte, 3)
	if _, err := f.Read(buf); err != nil || end != 7 || string(buf) != "789" {
		t.Errorf("at %d: %q, %v", end, buf, err)
	}
}

// TestHugeDirectory lists 100,000 entries, and finds some.
func TestHugeDirectory(t *testing.T) {
	forServers(t, func(t *testing.T, server *lab.Server) {
		const many = 100000
		host := filepath.Join(server.Root, "d")
		must(t, os.Mkdir(host, 0o755))
		for i := range many {
			must(t, unix.Mknod(fmt.Sprintf("%s/entry-%06d", host, i), unix.S_IFREG|0o644, 0))
		}
		dir := filepath.Join(lab.Mount(t, server.URL).Dir, "d")
		entries, err := os.ReadDir(dir)
		must(t, err)
		if len(entries) != many {
			t.Fatalf("%d entries", len(entries))
		}
		for i, entry := range entries {
			if want := fmt.Sprintf("entry-%06d", i); entry.Name() != want {
				t.Fatalf("entry %d is %s", i, entry.Name())
			}
		}
		for _, i := range []int{0, 1, 777, many / 2, many - 1} {
			sees(t, fmt.Sprintf("%s/entry-%06d", dir, i), "")
		}
	})
}
