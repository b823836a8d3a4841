package mount_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/lab"
)

// TestHandles: what can be done with files and directories that are open, whatever becomes of their names.
func TestHandles(t *testing.T) {
	forMounts(t, func(t *testing.T, x site) {
		for name, check := range map[string]func(*testing.T, site){
			"unlinked": unlinked, "one-name-left": oneNameLeft, "replaced": replaced, "removed-directory": removedDirectory, "moved": moved,
			"list-and-remove": listAndRemove, "positions": directoryPositions, "append": appendFlags, "in-kernel-copies": kernelCopies,
			"holes": holes, "allocate": allocate, "modes-of-sync": syncFlags, "rights-at-open": rightsAtOpen, "reopened": reopened,
			"appenders": appenders, "socket": unixSocket,
		} {
			t.Run(name, func(t *testing.T) { check(t, x.below(t, name)) })
		}
	})
}

func fstat(t *testing.T, f *os.File) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Fstat(int(f.Fd()), &st))
	return st
}

// holdsBytes fails unless an open file holds exactly that.
func holdsBytes(t *testing.T, f *os.File, want string) {
	t.Helper()
	got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
	if err != nil || string(got) != want {
		t.Errorf("%s holds %.40q: %v, want %.40q", f.Name(), got, err, want)
	}
}

func writeAt(t *testing.T, f *os.File, data string, offset int64) {
	t.Helper()
	_, err := f.WriteAt([]byte(data), offset)
	must(t, err)
}

// unlinked: a file lives until it is closed.
func unlinked(t *testing.T, x site) {
	f := openFile(t, x.dir+"/f", os.O_RDWR|os.O_CREATE)
	reader := openFile(t, x.dir+"/f", os.O_RDONLY)
	writeAt(t, f, "data", 0)
	must(t, os.Remove(x.dir+"/f"))
	if st := fstat(t, f); st.Nlink != 0 || st.Size != 4 {
		t.Errorf("%d links, size %d", st.Nlink, st.Size)
	}
	put(t, x.dir+"/f", "another")
	writeAt(t, f, "more", 4)
	holdsBytes(t, reader, "datamore")
	must(t, f.Sync())
	if !byPath(x.server) {
		must(t, f.Truncate(6))
		must(t, f.Chmod(0o600))
		must(t, f.Chown(12, 34))
		must(t, unix.Fsetxattr(int(f.Fd()), "user.a", []byte("b"), 0))
		must(t, unix.Futimes(int(f.Fd()), []unix.Timeval{{Sec: 1}, {Sec: 2}}))
		if st := fstat(t, reader); st.Size != 6 || st.Mode&0o7777 != 0o600 || st.Uid != 12 || st.Gid != 34 || st.Mtim.Sec != 2 {
			t.Errorf("%+v", st)
		}
		holdsBytes(t, reader, "datamo")
	}
	sees(t, x.dir+"/f", "another")
	must(t, has(x.dir+"/f", 0, 0, 0o644))
}

func oneNameLeft(t *testing.T, x site) {
	f := openFile(t, x.dir+"/f", os.O_RDWR|os.O_CREATE)
	must(t, os.Link(x.dir+"/f", x.dir+"/g"))
	if st := fstat(t, f); st.Nlink != 2 {
		t.Errorf("%d links", st.Nlink)
	}
	must(t, os.Remove(x.dir+"/f"))
	if st := fstat(t, f); st.Nlink != 1 {
		t.Errorf("%d links after one was removed", st.Nlink)
	}
	writeAt(t, f, "data", 0)
	must(t, f.Chmod(0o600))
	must(t, f.Truncate(3))
	sees(t, x.dir+"/g", "dat")
	must(t, has(x.dir+"/g", 0, 0, 0o600))
}

// replaced: rename(2) onto a file that is open takes its name only.
func replaced(t *testing.T, x site) {
	put(t, x.dir+"/f", "old")
	f := openFile(t, x.dir+"/f", os.O_RDWR)
	put(t, x.dir+"/g", "new")
	must(t, os.Rename(x.dir+"/g", x.dir+"/f"))
	sees(t, x.dir+"/f", "new")
	holdsBytes(t, f, "old")
	writeAt(t, f, "er", 3)
	holdsBytes(t, f, "older")
	sees(t, x.dir+"/f", "new")
	if st := fstat(t, f); st.Nlink != 0 || st.Size != 5 {
		t.Errorf("%d links, size %d", st.Nlink, st.Size)
	}
}

// removedDirectory: nothing can be made in one, although it is open.
func removedDirectory(t *testing.T, x site) {
	must(t, os.Mkdir(x.dir+"/d", 0o755))
	d := openFile(t, x.dir+"/d", os.O_RDONLY)
	must(t, os.Remove(x.dir+"/d"))
	fd := int(d.Fd())
	_, err := unix.Openat(fd, "f", unix.O_CREAT|unix.O_WRONLY, 0o644)
	answers(t, "create", err, unix.ENOENT)
	answers(t, "mkdir", unix.Mkdirat(fd, "e", 0o755), unix.ENOENT)
	answers(t, "stat", unix.Fstatat(fd, "f", new(unix.Stat_t), 0), unix.ENOENT)
	if names, err := d.Readdirnames(-1); len(names) != 0 || err != nil && !errors.Is(err, unix.ENOENT) {
		t.Errorf("%q: %v", names, err)
	}
	if st := fstat(t, d); st.Nlink != 0 {
		t.Errorf("%d links", st.Nlink)
	}
}

// moved: open files and directories follow their directory.
func moved(t *testing.T, x site) {
	must(t, os.MkdirAll(x.dir+"/d/e", 0o755))
	f := openFile(t, x.dir+"/d/e/f", os.O_RDWR|os.O_CREATE)
	e := openFile(t, x.dir+"/d/e", os.O_RDONLY)
	must(t, os.Rename(x.dir+"/d", x.dir+"/moved"))
	put(t, x.dir+"/g", "other")
	must(t, os.MkdirAll(x.dir+"/d/e", 0o755))
	must(t, os.Rename(x.dir+"/g", x.dir+"/d/e/f"))
	writeAt(t, f, "data", 0)
	must(t, f.Chmod(0o640))
	must(t, unix.Mkdirat(int(e.Fd()), "sub", 0o755))
	sees(t, x.dir+"/moved/e/f", "data")
	must(t, has(x.dir+"/moved/e/f", 0, 0, 0o640))
	must(t, has(x.dir+"/moved/e/sub", 0, 0, 0o755))
	sees(t, x.dir+"/d/e/f", "other")
	var up, top unix.Stat_t
	must(t, unix.Fstatat(int(e.Fd()), "../..", &up, 0))
	must(t, unix.Stat(x.dir, &top))
	if up.Ino != top.Ino {
		t.Error(".. leads elsewhere")
	}
}

// listAndRemove: what is removed while a directory is read does not hide what is left.
func listAndRemove(t *testing.T, x site) {
	const many = 600 // of long names: more than is read at once
	for i := range many {
		must(t, touch(fmt.Sprintf("%s/%0200d", x.dir, i), unix.O_CREAT|unix.O_WRONLY, 0o644))
	}
	d := openFile(t, x.dir, os.O_RDONLY)
	seen := 0
	for {
		names, err := d.Readdirnames(50)
		for _, name := range names {
			must(t, unix.Unlink(x.dir+"/"+name))
		}
		seen += len(names)
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
	}
	if seen != many {
		t.Errorf("%d of %d files were listed", seen, many)
	}
	must(t, os.Remove(x.dir))
	must(t, os.Mkdir(x.dir, 0o755))
}

// entry is what getdents64(2) tells of a name.
type entry struct {
	name string
	next int64 // d_off
}

// entries reads a directory from where it is to its end, a little at a time.
func entries(t *testing.T, fd int) (list []entry) {
	t.Helper()
	buf := make([]byte, 512)
	for {
		n, err := unix.Getdents(fd, buf)
		must(t, err)
		if n == 0 {
			return list
		}
		for b := buf[:n]; len(b) > 0; b = b[binary.NativeEndian.Uint16(b[16:]):] {
			name, _, _ := bytes.Cut(b[19:binary.NativeEndian.Uint16(b[16:])], []byte{0})
			list = append(list, entry{string(name), int64(binary.NativeEndian.Uint64(b[8:]))})
		}
	}
}

// directoryPositions: seekdir(3) leads back to where telldir(3) was, and rewinddir(3) shows what is new.
func directoryPositions(t *testing.T, x site) {
	for i := range 200 {
		put(t, fmt.Sprintf("%s/%d", x.dir, i), "")
	}
	d := openFile(t, x.dir, os.O_RDONLY)
	fd := int(d.Fd())
	all := entries(t, fd)
	if len(all) != 202 {
		t.Fatalf("%d entries", len(all))
	}
	for _, i := range []int{0, 1, 2, 77, 200, 201} {
		_, err := unix.Seek(fd, all[i].next, unix.SEEK_SET)
		must(t, err)
		if rest := entries(t, fd); !slices.Equal(rest, all[i+1:]) {
			t.Errorf("after entry %d there are %d, want %d", i, len(rest), len(all)-i-1)
		}
	}
	put(t, x.dir+"/new", "")
	must(t, os.Remove(x.dir+"/0"))
	_, err := unix.Seek(fd, 0, unix.SEEK_SET)
	must(t, err)
	names := map[string]int{}
	for _, e := range entries(t, fd) {
		names[e.name]++
	}
	if len(names) != 202 || names["new"] != 1 || names["0"] != 0 || names["."] != 1 || names[".."] != 1 {
		t.Errorf("after rewinddir there are %d names", len(names))
	}
}

// appendFlags: O_APPEND rules over every offset, RWF_APPEND over one.
func appendFlags(t *testing.T, x site) {
	a := openFile(t, x.dir+"/f", os.O_RDWR|os.O_CREATE|os.O_APPEND)
	for range 3 {
		_, err := unix.Pwrite(int(a.Fd()), []byte("ab"), 0)
		must(t, err)
	}
	sees(t, x.dir+"/f", "ababab")
	if at, err := unix.Seek(int(a.Fd()), 0, unix.SEEK_CUR); err != nil || at != 0 {
		t.Errorf("pwrite moved the position to %d: %v", at, err)
	}
	_, err := a.WriteString("c")
	must(t, err)
	if at, err := unix.Seek(int(a.Fd()), 0, unix.SEEK_CUR); err != nil || at != 7 {
		t.Errorf("write moved the position to %d: %v", at, err)
	}
	b := openFile(t, x.dir+"/f", os.O_RDWR)
	_, err = unix.Pwritev2(int(b.Fd()), [][]byte{[]byte("d"), []byte("e")}, 0, rwfAppend|unix.RWF_DSYNC)
	must(t, err)
	must(t, a.Truncate(3))
	_, err = a.WriteString("x")
	must(t, err)
	sees(t, x.dir+"/f", "abax")
	_, err = unix.FcntlInt(a.Fd(), unix.F_SETFL, 0)
	must(t, err)
	writeAt(t, b, "z", 0)
	_, err = unix.Pwrite(int(a.Fd()), []byte("y"), 1)
	must(t, err)
	sees(t, x.dir+"/f", "zyax")
}

// rwfAppend is RWF_APPEND of linux/fs.h.
const rwfAppend = 0x10

// kernelCopies: what the kernel copies from file to file by itself is what write(2) would have written.
func kernelCopies(t *testing.T, x site) {
	want := strings.Repeat("0123456789abcdef", 20000)
	put(t, x.dir+"/from", want)
	from := openFile(t, x.dir+"/from", os.O_RDONLY)
	for name, call := range map[string]func(to *os.File, offset int64, n int) (int, error){
		"copy_file_range": func(to *os.File, offset int64, n int) (int, error) {
			out := offset
			return unix.CopyFileRange(int(from.Fd()), &offset, int(to.Fd()), &out, n, 0)
		},
		"sendfile": func(to *os.File, offset int64, n int) (int, error) {
			return unix.Sendfile(int(to.Fd()), int(from.Fd()), &offset, n)
		},
		"splice": func(to *os.File, offset int64, n int) (int, error) { return throughPipe(from, to, offset, n) },
	} {
		to := openFile(t, x.dir+"/"+name, os.O_RDWR|os.O_CREATE)
		for done := 0; done < len(want); {
			n, err := call(to, int64(done), len(want)-done)
			if err != nil || n == 0 {
				t.Fatalf("%s: %d bytes, %v", name, n, err)
			}
			done += n
		}
		holdsBytes(t, to, want)
	}
}

func throughPipe(from, to *os.File, offset int64, n int) (int, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer func() { _ = errors.Join(r.Close(), w.Close()) }()
	in, out := offset, offset
	moved, err := unix.Splice(int(from.Fd()), &in, int(w.Fd()), nil, min(n, 65536), 0)
	if err != nil {
		return 0, err
	}
	for left := moved; left > 0; {
		n, err := unix.Splice(int(r.Fd()), nil, int(to.Fd()), &out, int(left), 0)
		if err != nil {
			return 0, err
		}
		left -= n
	}
	return int(moved), nil
}

// holes read as zeros, and a file is not longer than its end.
func holes(t *testing.T, x site) {
	f := openFile(t, x.dir+"/f", os.O_RDWR|os.O_CREATE)
	writeAt(t, f, "a", 0)
	must(t, f.Truncate(10))
	holdsBytes(t, f, "a\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	writeAt(t, f, "b", 12)
	must(t, f.Truncate(1))
	must(t, f.Truncate(13))
	holdsBytes(t, f, "a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	if n, err := unix.Pread(int(f.Fd()), make([]byte, 10), 13); n != 0 || err != nil {
		t.Errorf("behind the end there are %d bytes: %v", n, err)
	}
	for whence, want := range map[int]int64{unix.SEEK_DATA: 2, unix.SEEK_HOLE: 13} {
		if at, err := unix.Seek(int(f.Fd()), 2, whence); err != nil || at != want {
			t.Errorf("seek %d from 2 leads to %d: %v, want %d", whence, at, err, want)
		}
	}
}

// allocate: fallocate(2) says that it can't be done, and posix_fallocate(3) of the C library then writes.
func allocate(t *testing.T, x site) {
	f := openFile(t, x.dir+"/f", os.O_RDWR|os.O_CREATE)
	writeAt(t, f, "data", 0)
	answers(t, "fallocate", unix.Fallocate(int(f.Fd()), 0, 0, 100), unix.EOPNOTSUPP)
	answers(t, "of a hole", unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 100), unix.EOPNOTSUPP)
	lab.Shell(t, time.Minute, x.dir, `fallocate --posix --length 8192 f`)
	if st := fstat(t, f); st.Size != 8192 {
		t.Errorf("size %d", st.Size)
	}
}

// syncFlags: what these ask for is done before write(2) returns.
func syncFlags(t *testing.T, x site) {
	for i, flag := range []int{unix.O_SYNC, unix.O_DSYNC, unix.O_DIRECT, unix.O_SYNC | unix.O_APPEND} {
		name := fmt.Sprintf("/f%d", i)
		f := openFile(t, x.dir+name, os.O_RDWR|os.O_CREATE|flag)
		data := alignedBlock(t, byte('a'+i))
		_, err := f.Write(data)
		must(t, err)
		got, err := os.ReadFile(x.host + name)
		must(t, err)
		if !bytes.Equal(got, data) {
			t.Errorf("with %#o there are %d bytes on the server", flag, len(got))
		}
	}
}

// alignedBlock is a block that O_DIRECT takes.
func alignedBlock(t *testing.T, fill byte) []byte {
	t.Helper()
	block, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	must(t, err)
	t.Cleanup(func() { must(t, unix.Munmap(block)) })
	for i := range block {
		block[i] = fill
	}
	return block
}

// rightsAtOpen: what may be done with an open file was decided when it was opened.
func rightsAtOpen(t *testing.T, x site) {
	give(t, x.dir+"/f", false, ann, 0o600)
	var fd int
	carryOut(t, []step{
		{ann, "open", 0, func() (err error) { fd, err = unix.Open(x.dir+"/f", unix.O_RDWR|unix.O_CLOEXEC, 0); return err }},
		{root, "take the file away", 0, func() error { return errors.Join(os.Chown(x.dir+"/f", 0, 0), os.Chmod(x.dir+"/f", 0)) }},
		{ann, "write", 0, func() error { _, err := unix.Pwrite(fd, []byte("more"), 4); return err }},
		{ann, "ftruncate", 0, func() error { return unix.Ftruncate(fd, 6) }},
		{ann, "read", 0, func() error { _, err := unix.Pread(fd, make([]byte, 10), 0); return err }},
		{ann, "fchmod", unix.EPERM, func() error { return unix.Fchmod(fd, 0o600) }},
		{ann, "open again", unix.EACCES, func() error { return touch(x.dir+"/f", unix.O_RDONLY, 0) }},
		{root, "close", 0, func() error { return unix.Close(fd) }},
	})
	sees(t, x.dir+"/f", "datamo")
}

// reopened: /proc/self/fd opens the file itself, and makes a name for one that has none only where that is allowed.
func reopened(t *testing.T, x site) {
	f := openFile(t, x.dir+"/f", os.O_RDWR|os.O_CREATE)
	writeAt(t, f, "data", 0)
	path := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	must(t, os.Rename(x.dir+"/f", x.dir+"/g"))
	sees(t, path, "data")
	must(t, unix.Linkat(unix.AT_FDCWD, path, unix.AT_FDCWD, x.dir+"/h", unix.AT_SYMLINK_FOLLOW))
	sees(t, x.dir+"/h", "data")
	must(t, os.Remove(x.dir+"/g"))
	must(t, os.Remove(x.dir+"/h"))
	if err := unix.Linkat(unix.AT_FDCWD, path, unix.AT_FDCWD, x.dir+"/i", unix.AT_SYMLINK_FOLLOW); err == nil {
		t.Error("a name for a file that had none any more")
	}
}

// appenders: what several append at the same time is all there, each piece whole.
func appenders(t *testing.T, x site) {
	const many, records = 4, 200
	var all errgroup.Group
	for i := range many {
		f := openFile(t, x.dir+"/f", os.O_WRONLY|os.O_CREATE|os.O_APPEND)
		all.Go(func() error {
			for j := range records {
				if _, err := fmt.Fprintf(f, "%d %0*d\n", i, 10+j, j); err != nil {
					return err
				}
			}
			return nil
		})
	}
	must(t, all.Wait())
	content, err := os.ReadFile(x.dir + "/f")
	must(t, err)
	next := [many]int{}
	for line := range strings.Lines(string(content)) {
		var i, j int
		if _, err := fmt.Sscanf(line, "%d %d\n", &i, &j); err != nil || j != next[i] || len(line) != len("0 \n")+10+j {
			t.Fatalf("line %q: %v", line, err)
		}
		next[i]++
	}
	if next != [many]int{records, records, records, records} {
		t.Errorf("there are %v records", next)
	}
}

// unixSocket: a socket that is bound to a name is found by it, on this machine.
func unixSocket(t *testing.T, x site) {
	l, err := net.Listen("unix", x.dir+"/s")
	must(t, err)
	c, err := net.Dial("unix", x.dir+"/s")
	must(t, err)
	must(t, c.Close())
	must(t, l.Close())
	answers(t, "after close", unix.Lstat(x.dir+"/s", new(unix.Stat_t)), unix.ENOENT)
}
