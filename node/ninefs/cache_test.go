package ninefs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/ninefs"
)

// twoMounts are two clients of one share.
func twoMounts(t *testing.T, s share, set ...func(*ninefs.Options)) (a, b *mounted) {
	t.Helper()
	return mount(t, s, set...), mount(t, s, set...)
}

// TestCloseToOpen: what one client closed, the other sees on its next open, whatever it has seen and remembers of the file.
// diod's qid.version is always 0.
func TestCloseToOpen(t *testing.T) {
	onCaches(t, func(t *testing.T, s share) {
		a, b := twoMounts(t, s)
		write(t, a.path("f"), "first")
		wantContent(t, b.path("f"), "first")
		for i, content := range []string{
			"longer than it was", "short", "SHORT", "shirt", "", "something", strings.Repeat("large ", 100_000), "small",
		} {
			for _, look := range []func(){
				func() {},
				func() { stat(t, b.path("f")) },
				func() { wantContent(t, b.path("f"), content) },
			} {
				write(t, a.path("f"), content)
				look()
				wantContent(t, b.path("f"), content)
				content = strings.Map(func(r rune) rune { return r ^ 1 }, content) // of the same size, in the same second
			}
			if i%2 == 1 {
				a, b = b, a
			}
		}
	})
}

// TestStatThenRewrite is the case of an attribute that lives longer than the file that it is of: stat, a longer file of
// another client, then open, fstat and read.
func TestStatThenRewrite(t *testing.T) {
	onCaches(t, func(t *testing.T, s share) {
		a, b := twoMounts(t, s, func(o *ninefs.Options) { o.AttrTimeout = time.Hour })
		for i := range 20 {
			name := fmt.Sprint(i)
			write(t, a.path(name), "four")
			wantContent(t, b.path(name), "four")
			if st := stat(t, b.path(name)); st.Size != 4 {
				t.Fatalf("%d bytes", st.Size)
			}
			write(t, a.path(name), "fifteen letters")
			f, err := os.Open(b.path(name))
			check(t, err)
			info, err := f.Stat()
			check(t, err)
			buf := make([]byte, 100)
			n, _ := f.Read(buf)
			check(t, f.Close())
			if info.Size() != 15 || string(buf[:n]) != "fifteen letters" {
				t.Fatalf("round %d: fstat says %d bytes, read %q", i, info.Size(), buf[:n])
			}
		}
	})
}

// TestSetBackTime: cp -p and rsync -t hide a change from whoever looks at size and modification time alone.
func TestSetBackTime(t *testing.T) {
	onCaches(t, func(t *testing.T, s share) {
		a, b := twoMounts(t, s)
		long := time.Unix(1_000_000_000, 0)
		for i := range 20 {
			content := fmt.Sprintf("content %02d", i)
			write(t, a.path("f"), content)
			check(t, os.Chtimes(a.path("f"), long, long))
			wantContent(t, b.path("f"), content)
		}
	})
}

// TestReplacedElsewhere: a new file was put in the place of one that the other client knows, by rename.
func TestReplacedElsewhere(t *testing.T) {
	onCaches(t, func(t *testing.T, s share) {
		a, b := twoMounts(t, s, func(o *ninefs.Options) { o.AttrTimeout = time.Hour })
		write(t, a.path("f"), "0")
		for i := range 20 {
			stat(t, b.path("f"))
			content := strings.Repeat(fmt.Sprint(i), i)
			write(t, a.path("tmp"), content)
			check(t, os.Rename(a.path("tmp"), a.path("f")))
			wantContent(t, b.path("f"), content)
		}
		check(t, os.Remove(a.path("f")))
		_, err := os.Open(b.path("f"))
		wantErr(t, err, unix.ENOENT)
		f, err := os.OpenFile(b.path("f"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		check(t, err)
		check(t, f.Close())
		stat(t, a.path("f"))
	})
}

// TestAppendElsewhere: the end of a file is where another client left it, although the kernel here remembers another.
func TestAppendElsewhere(t *testing.T) {
	for _, mode := range []ninefs.CacheMode{ninefs.CloseToOpen, ninefs.CacheNone} {
		onCaches(t, func(t *testing.T, s share) {
			a, b := twoMounts(t, s, func(o *ninefs.Options) { o.Cache, o.AttrTimeout = mode, time.Hour })
			want := "begin"
			write(t, a.path("log"), want)
			wantContent(t, b.path("log"), want)
			for i := range 20 {
				m := []*mounted{a, b}[i%2]
				line := strings.Repeat(fmt.Sprint(i), 1+i*37)
				f, err := os.OpenFile(m.path("log"), os.O_APPEND|os.O_WRONLY, 0)
				check(t, err)
				for range 2 {
					_, err = f.WriteString(line)
					check(t, err)
					want += line
				}
				check(t, f.Close())
				wantContent(t, m.path("log"), want)
			}
			wantContent(t, filepath.Join(s.root, "log"), want)
		})
	}
}

// TestAppendToOpenFile: two clients keep a file open and append to it in turn.
func TestAppendToOpenFile(t *testing.T) {
	onCaches(t, func(t *testing.T, s share) {
		a, b := twoMounts(t, s, func(o *ninefs.Options) { o.AttrTimeout = time.Nanosecond })
		write(t, a.path("log"), "begin")
		want := "begin"
		var files []*os.File
		for _, m := range []*mounted{a, b} {
			f, err := os.OpenFile(m.path("log"), os.O_APPEND|os.O_WRONLY, 0)
			check(t, err)
			defer f.Close()
			files = append(files, f)
		}
		for i := range 20 {
			line := strings.Repeat(fmt.Sprint(i), 1+i*37)
			_, err := files[i%2].WriteString(line)
			check(t, err)
			want += line
		}
		wantContent(t, filepath.Join(s.root, "log"), want)
	})
}

func TestCacheNone(t *testing.T) {
	onCaches(t, func(t *testing.T, s share) {
		m := mount(t, s, func(o *ninefs.Options) { o.Cache = ninefs.CacheNone })
		write(t, m.path("f"), "aaaa")
		f, err := os.OpenFile(m.path("f"), os.O_RDWR, 0)
		check(t, err)
		defer f.Close()
		for _, content := range []string{"bbbb", "cccccccc", "d"} {
			write(t, filepath.Join(s.root, "f"), content)
			buf := make([]byte, 16)
			n, _ := f.ReadAt(buf, 0)
			if string(buf[:n]) != content {
				t.Errorf("an open file shows %q, want %q", buf[:n], content)
			}
			if st := stat(t, m.path("f")); st.Size != int64(len(content)) {
				t.Errorf("%d bytes, want %d", st.Size, len(content))
			}
		}
		_, err = unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		wantErr(t, err, unix.ENODEV)
	})
}
