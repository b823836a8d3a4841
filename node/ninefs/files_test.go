package ninefs_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestReadWrite(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		data := bytes.Repeat([]byte("0123456789abcdef"), 1<<17) // 2 MiB: more than one request
		check(t, os.WriteFile(m.path("f"), data, 0o640))
		for _, path := range []string{m.path("f"), filepath.Join(s.root, "f")} {
			got, err := os.ReadFile(path)
			check(t, err)
			if !bytes.Equal(got, data) {
				t.Errorf("%s: %d bytes that are not those written", path, len(got))
			}
		}
		if st := stat(t, m.path("f")); st.Size != int64(len(data)) || st.Mode&0o777 != 0o640 {
			t.Errorf("size %d, mode %o", st.Size, st.Mode)
		}
	})
}

func TestCreateFlags(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		write(t, m.path("old"), "content")
		for _, c := range []struct {
			name  string
			flags int
			err   error
			holds string
		}{
			{"old", os.O_CREATE | os.O_EXCL | os.O_WRONLY, unix.EEXIST, "content"},
			{"new", os.O_CREATE | os.O_EXCL | os.O_WRONLY, nil, ""},
			{"old", os.O_CREATE | os.O_RDWR, nil, "content"},
			{"old", os.O_RDWR | os.O_TRUNC, nil, ""},
			{"absent", os.O_RDWR, unix.ENOENT, ""},
			{strings.Repeat("n", 256), os.O_CREATE | os.O_RDWR, unix.ENAMETOOLONG, ""},
		} {
			f, err := os.OpenFile(m.path(c.name), c.flags, 0o600)
			if c.err == nil {
				check(t, err)
				check(t, f.Close())
			} else {
				wantErr(t, err, c.err)
			}
			if c.holds != "" {
				wantContent(t, m.path(c.name), c.holds)
			}
		}
		if st := stat(t, m.path("old")); st.Size != 0 {
			t.Errorf("%d bytes after O_TRUNC", st.Size)
		}
	})
}

// TestCreateRace makes a file behind the mount's back, between its look and its CREATE.
func TestCreateRace(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		for i, flags := range []int{os.O_CREATE | os.O_EXCL | os.O_WRONLY, os.O_CREATE | os.O_WRONLY} {
			name := []string{"excl", "plain"}[i]
			_, err := os.Lstat(m.path(name))
			wantErr(t, err, unix.ENOENT)
			write(t, filepath.Join(s.root, name), "theirs")
			f, err := os.OpenFile(m.path(name), flags, 0o600)
			if flags&os.O_EXCL != 0 {
				wantErr(t, err, unix.EEXIST)
				continue
			}
			check(t, err)
			check(t, f.Close())
			wantContent(t, m.path(name), "theirs")
		}
	})
}

func TestAppend(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		write(t, m.path("log"), "0")
		var files []*os.File
		for range 2 {
			f, err := os.OpenFile(m.path("log"), os.O_APPEND|os.O_WRONLY, 0)
			check(t, err)
			defer f.Close()
			files = append(files, f)
		}
		want := "0"
		for i := range 20 {
			line := strings.Repeat(string(rune('a'+i)), i*100)
			_, err := files[i%2].WriteString(line)
			check(t, err)
			want += line
		}
		wantContent(t, m.path("log"), want)
		wantContent(t, filepath.Join(s.root, "log"), want)
	})
}

func TestTruncateAndSparse(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		write(t, m.path("f"), "0123456789")
		check(t, os.Truncate(m.path("f"), 4))
		wantContent(t, m.path("f"), "0123")
		check(t, os.Truncate(m.path("f"), 8))
		wantContent(t, m.path("f"), "0123\x00\x00\x00\x00")

		f, err := os.OpenFile(m.path("f"), os.O_RDWR, 0)
		check(t, err)
		defer f.Close()
		const far = 5 << 30 // beyond what 32 bits count
		_, err = f.WriteAt([]byte("far"), far)
		check(t, err)
		st := stat(t, m.path("f"))
		if st.Size != far+3 || st.Blocks*512 > 1<<20 {
			t.Errorf("size %d in %d blocks, want a sparse file of %d bytes", st.Size, st.Blocks, far+3)
		}
		buf := make([]byte, 8)
		n, err := f.ReadAt(buf, far-5)
		if n != 8 || string(buf) != "\x00\x00\x00\x00\x00far" {
			t.Errorf("read %d bytes %q (%v) at the far end", n, buf, err)
		}
		check(t, f.Truncate(2))
		wantContent(t, m.path("f"), "01")
		if n, err := f.ReadAt(buf, far); n != 0 || err != io.EOF {
			t.Errorf("read %d bytes (%v) beyond the end", n, err)
		}
	})
}

func TestDirectIO(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		fd, err := unix.Open(m.path("f"), unix.O_CREAT|unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0o600)
		check(t, err)
		defer unix.Close(fd)
		buf := aligned(t, 3<<20)
		for i := range buf {
			buf[i] = byte(i * 7 >> 3)
		}
		if n, err := unix.Pwrite(fd, buf, 4096); n != len(buf) || err != nil {
			t.Fatal(n, err)
		}
		got := aligned(t, len(buf))
		if n, err := unix.Pread(fd, got, 4096); n != len(buf) || err != nil {
			t.Fatal(n, err)
		}
		if !bytes.Equal(got, buf) {
			t.Error("O_DIRECT reads something else than it wrote")
		}
		if n, err := unix.Pread(fd, got, 4096+int64(len(buf))-512); n != 512 || err != nil {
			t.Errorf("read %d bytes (%v) of the last 512", n, err)
		}
	})
}

func aligned(t testing.TB, n int) []byte {
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	check(t, err)
	t.Cleanup(func() { check(t, unix.Munmap(mem)) })
	if uintptr(unsafe.Pointer(&mem[0]))%4096 != 0 {
		t.Fatal("mmap answered with an address within a page")
	}
	return mem
}

func TestUnlinkedFileLives(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		f, err := os.OpenFile(m.path("f"), os.O_CREATE|os.O_RDWR, 0o600)
		check(t, err)
		defer f.Close()
		_, err = f.WriteString("still")
		check(t, err)
		check(t, os.Remove(m.path("f")))
		_, err = os.Lstat(m.path("f"))
		wantErr(t, err, unix.ENOENT)
		_, err = f.WriteAt([]byte(" here"), 5)
		check(t, err)
		buf := make([]byte, 20)
		if n, _ := f.ReadAt(buf, 0); string(buf[:n]) != "still here" {
			t.Errorf("read %q of an unlinked file", buf[:n])
		}
		info, err := f.Stat()
		check(t, err)
		if info.Size() != 10 {
			t.Errorf("size %d, want 10", info.Size())
		}
		write(t, m.path("f"), "another")
		if n, _ := f.ReadAt(buf, 0); string(buf[:n]) != "still here" {
			t.Errorf("read %q of an unlinked file whose name is another's", buf[:n])
		}
	})
}

// TestUnlinkedFileChanges changes attributes of a file without a name; fchmod(2) and fchown(2) come without the handle that
// they were called on. diod finds attributes by the path that is gone, so that it can't be asked of it.
func TestUnlinkedFileChanges(t *testing.T) {
	noLeak(t)
	m := mount(t, exporter(t))
	f, err := os.OpenFile(m.path("f"), os.O_CREATE|os.O_RDWR, 0o600)
	check(t, err)
	defer f.Close()
	check(t, os.Remove(m.path("f")))
	_, err = f.WriteString("content")
	check(t, err)
	check(t, f.Truncate(3))
	check(t, f.Chmod(0o640))
	check(t, f.Chown(3, 4))
	info, err := f.Stat()
	check(t, err)
	st := info.Sys().(*syscall.Stat_t)
	if st.Mode&0o777 != 0o640 || st.Uid != 3 || st.Gid != 4 || st.Size != 3 {
		t.Errorf("mode %o, owner %d:%d, size %d", st.Mode, st.Uid, st.Gid, st.Size)
	}
}

func TestFsyncAndStatfs(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		f, err := os.Create(m.path("f"))
		check(t, err)
		defer f.Close()
		check(t, f.Sync())
		check(t, unix.Fdatasync(int(f.Fd())))
		d, err := os.Open(m.dir)
		check(t, err)
		defer d.Close()
		check(t, d.Sync())
		var st unix.Statfs_t
		check(t, unix.Statfs(m.dir, &st))
		if st.Blocks == 0 || st.Bavail == 0 || st.Namelen != 255 || st.Bsize < 512 {
			t.Errorf("statfs: %+v", st)
		}
	})
}

// TestRefusals are the system calls that 9P can't carry out, with what the kernel or the C library does instead.
func TestRefusals(t *testing.T) {
	noLeak(t)
	m := mount(t, exporter(t))
	write(t, m.path("f"), "0123456789")
	f, err := os.OpenFile(m.path("f"), os.O_RDWR, 0)
	check(t, err)
	defer f.Close()
	fd := int(f.Fd())
	wantErr(t, unix.Fallocate(fd, 0, 0, 100), unix.EOPNOTSUPP)
	_, err = unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	wantErr(t, err, unix.ENOTTY)
	if off, err := unix.Seek(fd, 3, unix.SEEK_DATA); off != 3 || err != nil {
		t.Errorf("SEEK_DATA: %d, %v", off, err)
	}
	if off, err := unix.Seek(fd, 3, unix.SEEK_HOLE); off != 10 || err != nil {
		t.Errorf("SEEK_HOLE: %d, %v", off, err)
	}
	to, err := os.Create(m.path("g"))
	check(t, err)
	defer to.Close()
	var from int64
	if n, err := unix.CopyFileRange(fd, &from, int(to.Fd()), nil, 10, 0); n != 10 || err != nil {
		t.Errorf("copy_file_range: %d, %v", n, err)
	}
	wantContent(t, m.path("g"), "0123456789")
	_, err = unix.Open(m.dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	wantErr(t, err, unix.EOPNOTSUPP)
}
