package mount_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/lab"
)

// forDialects runs a test on a mount of the exporter in each of Plan 9's dialects and cache modes.
func forDialects(t *testing.T, test func(t *testing.T, dialect string, x site)) {
	t.Helper()
	server := lab.Exporter(t, lab.Dir(t))
	for _, dialect := range []string{"9P2000.u", "9P2000"} {
		for _, cache := range []string{"close-to-open", "none"} {
			t.Run(dialect+"/"+cache, func(t *testing.T) {
				mount := lab.Mount(t, server.URL, "cache="+cache, "dialect="+dialect)
				x := site{dir: mount.Dir, host: server.Root, server: server.Name, cache: cache}
				test(t, dialect, x.below(t, dialect+"-"+cache))
			})
		}
	}
}

// TestDialectTree makes a tree of files of many sizes and compares it from both sides, moves and removes it.
func TestDialectTree(t *testing.T) {
	forDialects(t, func(t *testing.T, _ string, x site) {
		r := rand.New(rand.NewPCG(1, 2))
		sums := map[string][32]byte{}
		for d := range 5 {
			must(t, os.MkdirAll(filepath.Join(x.dir, fmt.Sprint("d", d), "inner"), 0o755))
			for f := range 17 {
				data := make([]byte, r.IntN(1<<(4+f)))
				for i := range data {
					data[i] = byte(r.Uint32())
				}
				name := fmt.Sprintf("d%d/inner/f%d", d, f)
				must(t, os.WriteFile(filepath.Join(x.dir, name), data, 0o644))
				sums[name] = sha256.Sum256(data)
			}
		}
		for name, sum := range sums {
			for _, side := range []string{x.dir, x.host} {
				data, err := os.ReadFile(filepath.Join(side, name))
				must(t, err)
				if sha256.Sum256(data) != sum {
					t.Errorf("%s/%s has other content", side, name)
				}
			}
		}
		lab.Run(t, time.Minute, exec.Command("diff", "-r", x.dir, x.host))
		must(t, os.Rename(filepath.Join(x.dir, "d3"), filepath.Join(x.dir, "moved")))
		lab.Run(t, time.Minute, exec.Command("diff", "-r", x.dir, x.host))
		lab.Run(t, time.Minute, exec.Command("rm", "-r", filepath.Join(x.dir, "moved"), filepath.Join(x.dir, "d4")))
		entries, err := os.ReadDir(x.host)
		must(t, err)
		if len(entries) != 3 {
			t.Errorf("%d directories are left, want 3", len(entries))
		}
	})
}

// TestDialectDirectory lists and removes a directory of many entries, while others come and go.
func TestDialectDirectory(t *testing.T) {
	forDialects(t, func(t *testing.T, _ string, x site) {
		var want []string
		for i := range 1500 {
			want = append(want, fmt.Sprintf("entry-%04d", i))
			must(t, os.WriteFile(filepath.Join(x.host, want[i]), nil, 0o644))
		}
		dir, err := os.Open(x.dir)
		must(t, err)
		defer dir.Close()
		for range 2 {
			_, err := dir.Seek(0, 0)
			must(t, err)
			names, err := dir.Readdirnames(-1)
			must(t, err)
			if slices.Sort(names); !slices.Equal(names, want) {
				t.Errorf("%d entries, want %d", len(names), len(want))
			}
		}
		lab.Run(t, time.Minute, exec.Command("sh", "-c", `rm -r "$1"/*`, "sh", x.dir))
		names, err := os.ReadDir(x.host)
		must(t, err)
		if len(names) != 0 {
			t.Errorf("%d entries are left", len(names))
		}
	})
}

// TestDialectFile is what one file goes through.
func TestDialectFile(t *testing.T) {
	forDialects(t, func(t *testing.T, _ string, x site) {
		path, host := filepath.Join(x.dir, "f"), filepath.Join(x.host, "f")
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		must(t, err)
		defer f.Close()
		data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		_, err = f.WriteAt(data, 5)
		must(t, err)
		must(t, f.Sync())
		must(t, f.Truncate(1000))
		must(t, f.Chmod(0o640))
		when := time.Unix(1234567890, 0)
		if err := os.Chtimes(path, time.Time{}, when); err != nil {
			t.Errorf("set mtime: %v", err)
		}
		info, err := os.Stat(host)
		must(t, err)
		if info.Size() != 1000 || info.Mode() != 0o640 || !info.ModTime().Equal(when) {
			t.Errorf("on the server: %d bytes, mode %v, %v", info.Size(), info.Mode(), info.ModTime())
		}
		_, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		wants(t, "create again", err, unix.EEXIST)
		appended, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		must(t, err)
		_, err = appended.WriteString("end")
		must(t, errors.Join(err, appended.Close()))
		got, err := os.ReadFile(host)
		must(t, err)
		if string(got) != "\x00\x00\x00\x00\x00"+string(data[:995])+"end" {
			t.Errorf("the server has %d bytes", len(got))
		}
		must(t, os.Remove(path))
		buf := make([]byte, 3)
		if _, err := f.ReadAt(buf, 1000); err != nil || string(buf) != "end" {
			t.Errorf("after its removal: %q, %v", buf, err)
		}
		_, err = os.Stat(path)
		wants(t, "stat what was removed", err, unix.ENOENT)
	})
}

// TestDialectLimits: what a dialect cannot express fails as calls that are not supported do.
func TestDialectLimits(t *testing.T) {
	forDialects(t, func(t *testing.T, dialect string, x site) {
		path := filepath.Join(x.dir, "f")
		must(t, os.WriteFile(path, []byte("data"), 0o644))
		must(t, os.Mkdir(filepath.Join(x.dir, "d"), 0o755))
		wants(t, "rename to another directory", os.Rename(path, filepath.Join(x.dir, "d/f")), unix.EXDEV)
		lab.Run(t, time.Minute, exec.Command("mv", path, filepath.Join(x.dir, "d/f"))) // copies
		must(t, os.Rename(filepath.Join(x.dir, "d/f"), filepath.Join(x.dir, "d/g")))
		wants(t, "setxattr", unix.Setxattr(filepath.Join(x.dir, "d/g"), "user.a", []byte("x"), 0), unix.EOPNOTSUPP)
		if dialect == "9P2000.u" {
			unixFiles(t, x)
			return
		}
		for what, err := range map[string]error{
			"symlink": os.Symlink("f", filepath.Join(x.dir, "l")), "link": os.Link(filepath.Join(x.dir, "d/g"), filepath.Join(x.dir, "h")),
			"mkfifo": unix.Mkfifo(filepath.Join(x.dir, "p"), 0o600),
		} {
			wants(t, what, err, unix.EOPNOTSUPP)
		}
	})
}

// unixFiles are those that 9P2000.u has and 9P2000 has not.
func unixFiles(t *testing.T, x site) {
	t.Helper()
	must(t, os.Symlink("d/g", filepath.Join(x.dir, "l")))
	data, err := os.ReadFile(filepath.Join(x.dir, "l"))
	must(t, err)
	target, err := os.Readlink(filepath.Join(x.host, "l"))
	must(t, err)
	if string(data) != "data" || target != "d/g" {
		t.Errorf("through the link: %q; it leads to %q", data, target)
	}
	must(t, os.Link(filepath.Join(x.dir, "d/g"), filepath.Join(x.dir, "h")))
	must(t, unix.Mkfifo(filepath.Join(x.dir, "p"), 0o640))
	must(t, unix.Mknod(filepath.Join(x.dir, "c"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	must(t, os.Chown(filepath.Join(x.dir, "h"), 12, 34))
	must(t, os.Chmod(filepath.Join(x.dir, "d"), os.ModeSticky|0o777))
	for _, name := range []string{"h", "p", "c", "d", "l"} {
		var ours, theirs unix.Stat_t
		must(t, unix.Lstat(filepath.Join(x.dir, name), &ours))
		must(t, unix.Lstat(filepath.Join(x.host, name), &theirs))
		if ours.Mode != theirs.Mode || ours.Nlink != theirs.Nlink || ours.Uid != theirs.Uid || ours.Gid != theirs.Gid || ours.Rdev != theirs.Rdev {
			t.Errorf("%s: %+v, on the server %+v", name, ours, theirs)
		}
	}
	must(t, os.WriteFile(filepath.Join(x.dir, "h"), []byte("new"), 0o644))
	must(t, os.Rename(filepath.Join(x.dir, "p"), filepath.Join(x.dir, "h"))) // replaces
	if data, err := os.ReadFile(filepath.Join(x.host, "d/g")); err != nil || string(data) != "new" {
		t.Errorf("the other name of the file: %q, %v", data, err)
	}
}
