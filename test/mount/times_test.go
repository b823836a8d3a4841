package mount_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/lab"
)

// TestTimes: which call marks which times of which file for update, seen at once on the mount that made it, whatever that has
// cached (the DESCRIPTION of each call's page in POSIX.1-2017).
func TestTimes(t *testing.T) {
	forMounts(t, func(t *testing.T, x site) {
		for _, c := range timeCases {
			t.Run(strings.ReplaceAll(c.what, " ", "-"), func(t *testing.T) { c.check(t, x) })
		}
	})
}

// timeCase is a call in a directory that has a file f with another name g, a directory d and an empty directory e.
type timeCase struct {
	what string
	do   func(dir string) error
	// marks are the files whose mtime (m) and ctime (c) the call has to change. The others' stay.
	marks map[string]string
}

var timeCases = []timeCase{
	{"create", func(d string) error { return touch(d+"/d/n", unix.O_CREAT|unix.O_WRONLY, 0o644) }, map[string]string{"d": "mc"}},
	{"create what exists", func(d string) error { return touch(d+"/f", unix.O_CREAT|unix.O_WRONLY, 0o644) }, nil},
	{"mkdir", func(d string) error { return unix.Mkdir(d+"/d/n", 0o755) }, map[string]string{"d": "mc"}},
	{"mkdir in vain", func(d string) error { return unless(unix.Mkdir(d+"/e", 0o755), unix.EEXIST) }, nil},
	{"mkfifo", func(d string) error { return unix.Mkfifo(d+"/d/n", 0o644) }, map[string]string{"d": "mc"}},
	{"symlink", func(d string) error { return unix.Symlink("x", d+"/d/n") }, map[string]string{"d": "mc"}},
	{"link", func(d string) error { return unix.Link(d+"/f", d+"/d/n") }, map[string]string{"d": "mc", "f": "c", "g": "c"}},
	{"unlink", func(d string) error { return unix.Unlink(d + "/g") }, map[string]string{".": "mc", "f": "c"}},
	{"unlink in vain", func(d string) error { return unless(unix.Unlink(d+"/none"), unix.ENOENT) }, nil},
	{"rmdir", func(d string) error { return unix.Rmdir(d + "/e") }, map[string]string{".": "mc"}},
	{"rmdir in vain", func(d string) error { return unless(unix.Rmdir(d+"/d"), unix.ENOTEMPTY) }, nil},
	{"rename", func(d string) error { return unix.Rename(d+"/d/a", d+"/e/a") }, map[string]string{"d": "mc", "e": "mc"}},
	{"rename onto a file", func(d string) error { return unix.Rename(d+"/d/a", d+"/g") }, map[string]string{"d": "mc", ".": "mc", "f": "c"}},
	{"rename to another name of the file", func(d string) error { return unix.Rename(d+"/f", d+"/g") }, nil},
	{"chmod", func(d string) error { return unix.Chmod(d+"/f", 0o600) }, map[string]string{"f": "c", "g": "c"}},
	{"chmod of a directory", func(d string) error { return unix.Chmod(d+"/d", 0o700) }, map[string]string{"d": "c"}},
	{"chown", func(d string) error { return unix.Chown(d+"/f", 12, 34) }, map[string]string{"f": "c", "g": "c"}},
	{"lchown", func(d string) error { return unix.Lchown(d+"/l", 12, 34) }, map[string]string{"l": "c"}},
	{"setxattr", func(d string) error { return unix.Setxattr(d+"/f", "user.a", []byte("b"), 0) }, map[string]string{"f": "c", "g": "c"}},
	{"truncate", func(d string) error { return unix.Truncate(d+"/f", 1) }, map[string]string{"f": "mc", "g": "mc"}},
	{"truncate to more", func(d string) error { return unix.Truncate(d+"/f", 100) }, map[string]string{"f": "mc", "g": "mc"}},
	{"open with O_TRUNC", func(d string) error { return touch(d+"/f", unix.O_WRONLY|unix.O_TRUNC, 0) }, map[string]string{"f": "mc", "g": "mc"}},
	{"open", func(d string) error { return touch(d+"/f", unix.O_RDWR, 0) }, nil},
	{"write", func(d string) error { return writing(d+"/f", "more than was there") }, map[string]string{"f": "mc", "g": "mc"}},
	{"write over", func(d string) error { return writing(d+"/f", "x") }, map[string]string{"f": "mc", "g": "mc"}},
	{"write nothing", func(d string) error { return writing(d+"/f", "") }, nil},
	{"utimensat", func(d string) error {
		return unix.UtimesNanoAt(unix.AT_FDCWD, d+"/f", []unix.Timespec{{Sec: 1}, {Nsec: unix.UTIME_OMIT}}, 0)
	}, map[string]string{"f": "c", "g": "c"}},
	{"utimensat of a link", func(d string) error {
		return unix.UtimesNanoAt(unix.AT_FDCWD, d+"/l", []unix.Timespec{{Sec: 1}, {Sec: 2}}, unix.AT_SYMLINK_NOFOLLOW)
	}, map[string]string{"l": "mc"}},
	{"utimensat to now", func(d string) error {
		return unix.UtimesNanoAt(unix.AT_FDCWD, d+"/f", []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_NOW}}, 0)
	}, map[string]string{"f": "mc", "g": "mc"}},
	{"read a link", func(d string) error { _, err := os.Readlink(d + "/l"); return err }, nil},
	{"list", func(d string) error { _, err := os.ReadDir(d); return err }, nil},
}

// unless returns an error that is not the one wanted.
func unless(err error, want unix.Errno) error {
	if errors.Is(err, want) {
		return nil
	}
	return fmt.Errorf("%w, want %w", err, want)
}

func writing(path, data string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = unix.Write(int(f.Fd()), []byte(data))
	return err
}

func (c timeCase) check(t *testing.T, x site) {
	dir := x.dir + "/" + c.what
	must(t, os.MkdirAll(dir+"/d", 0o755))
	must(t, os.Mkdir(dir+"/e", 0o755))
	put(t, dir+"/f", "data")
	put(t, dir+"/d/a", "data")
	must(t, os.Link(dir+"/f", dir+"/g"))
	must(t, os.Symlink("f", dir+"/l"))
	hold(t, dir)
	before := stats(t, dir)
	pass(t, x.dir+"/clock", before)
	if err := c.do(dir); err != nil {
		t.Fatal(err)
	}
	after := stats(t, dir)
	for name, was := range before {
		is := after[name]
		if is.Ino != was.Ino {
			continue // it is gone, or another's name
		}
		marks := ""
		if is.Mtim != was.Mtim {
			marks += "m"
		}
		if is.Ctim != was.Ctim {
			marks += "c"
		}
		if marks != c.marks[name] {
			t.Errorf("of %s there changed %q, want %q", name, marks, c.marks[name])
		}
	}
}

// timed are the files that a time case begins with.
var timed = []string{".", "d", "e", "f", "g", "l"}

// hold has the kernel keep them in memory until the end of the test. With write-back a file's change time is the kernel's until that
// forgets the file, when somebody wants memory, and then the server's.
func hold(t *testing.T, dir string) {
	t.Helper()
	for _, name := range timed {
		fd, err := unix.Open(dir+"/"+name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		must(t, err)
		t.Cleanup(func() { _ = unix.Close(fd) })
	}
}

// stats reads their attributes, which the kernel then has.
func stats(t *testing.T, dir string) map[string]unix.Stat_t {
	t.Helper()
	all := map[string]unix.Stat_t{}
	for _, name := range timed {
		var st unix.Stat_t
		if err := unix.Lstat(dir+"/"+name, &st); err == nil {
			all[name] = st
		}
	}
	return all
}

// pass waits until the server's clock has gone on since those times, as far as its time stamps tell.
func pass(t *testing.T, probe string, since map[string]unix.Stat_t) {
	t.Helper()
	var latest time.Time
	for _, st := range since {
		if changed := time.Unix(st.Ctim.Unix()); changed.After(latest) {
			latest = changed
		}
	}
	lab.Eventually(t, 10*time.Second, func() error {
		put(t, probe, "tick")
		var st unix.Stat_t
		must(t, unix.Stat(probe, &st))
		if now := time.Unix(st.Ctim.Unix()); !now.After(latest) {
			return fmt.Errorf("the server's clock stands at %v", now)
		}
		return nil
	})
}
