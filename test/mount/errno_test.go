package mount_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/lab"
)

// TestErrnos: what each call answers that can't be done (the ERRORS of its page).
func TestErrnos(t *testing.T) {
	forMounts(t, func(t *testing.T, x site) {
		for name, check := range map[string]func(*testing.T, site){
			"long-names": longNames, "loops": loops, "slashes": slashes, "there": there, "not-there": notThere, "kinds": kinds, "renames": renames,
			"devices": acrossDevices, "sizes": sizes, "special": openingSpecial, "xattr": xattrErrors, "open-flags": openFlags,
		} {
			t.Run(name, func(t *testing.T) { check(t, x.below(t, name)) })
		}
	})
}

// answers is what a call has to answer.
func answers(t *testing.T, what string, got error, want unix.Errno) {
	t.Helper()
	carryOut(t, []step{{root, what, want, func() error { return got }}})
}

// byName are calls that look for a file of that name, and byNewName those that make one.
func byName(path string) map[string]error {
	_, readlink := os.Readlink(path)
	_, list := os.ReadDir(path)
	_, xattr := unix.Getxattr(path, "user.a", nil)
	return map[string]error{
		"stat": unix.Stat(path, new(unix.Stat_t)), "open": touch(path, unix.O_RDONLY, 0), "truncate": unix.Truncate(path, 0),
		"chmod": unix.Chmod(path, 0o644), "chown": unix.Chown(path, 0, 0), "lchown": unix.Lchown(path, 0, 0), "access": unix.Access(path, unix.R_OK),
		"utimensat": unix.UtimesNanoAt(unix.AT_FDCWD, path, nil, 0), "readlink": readlink, "list": list, "getxattr": xattr,
		"unlink": unix.Unlink(path), "rmdir": unix.Rmdir(path), "rename": unix.Rename(path, path+"x"), "link": unix.Link(path, path+"x"),
		"statfs": unix.Statfs(path, new(unix.Statfs_t)),
	}
}

func byNewName(path, other string) map[string]error {
	return map[string]error{
		"create": touch(path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644), "mkdir": unix.Mkdir(path, 0o755), "mkfifo": unix.Mkfifo(path, 0o644),
		"mknod": unix.Mknod(path, unix.S_IFREG|0o644, 0), "symlink": unix.Symlink("x", path), "link": unix.Link(other, path),
	}
}

func allAnswer(t *testing.T, got map[string]error, want unix.Errno) {
	t.Helper()
	for what, err := range got {
		answers(t, what, err, want)
	}
}

func longNames(t *testing.T, x site) {
	put(t, x.dir+"/f", "data")
	longest := x.dir + "/" + strings.Repeat("n", 255)
	put(t, longest, "data")
	sees(t, longest, "data")
	must(t, os.Rename(longest, x.dir+"/"+strings.Repeat("m", 255)))
	tooLong := x.dir + "/" + strings.Repeat("n", 256)
	allAnswer(t, byName(tooLong), unix.ENAMETOOLONG)
	allAnswer(t, byNewName(tooLong, x.dir+"/f"), unix.ENAMETOOLONG)
	answers(t, "rename to it", unix.Rename(x.dir+"/f", tooLong), unix.ENAMETOOLONG)
	answers(t, "below it", unix.Stat(tooLong+"/f", new(unix.Stat_t)), unix.ENAMETOOLONG)

	target := strings.Repeat("t", unix.PathMax-1)
	must(t, os.Symlink(target, x.dir+"/l"))
	if got, err := os.Readlink(x.dir + "/l"); err != nil || got != target {
		t.Errorf("a link of %d bytes reads as %d: %v", len(target), len(got), err)
	}
	answers(t, "symlink", unix.Symlink(target+"t", x.dir+"/m"), unix.ENAMETOOLONG)
	answers(t, "a path", unix.Stat(x.dir+strings.Repeat("/.", unix.PathMax/2), new(unix.Stat_t)), unix.ENAMETOOLONG)
}

func loops(t *testing.T, x site) {
	must(t, os.Symlink("b", x.dir+"/a"))
	must(t, os.Symlink("a", x.dir+"/b"))
	for what, err := range byName(x.dir + "/a/f") {
		answers(t, what, err, unix.ELOOP)
	}
	allAnswer(t, byNewName(x.dir+"/a/f", x.dir+"/a"), unix.ELOOP)
	answers(t, "open", touch(x.dir+"/a", unix.O_RDONLY, 0), unix.ELOOP)
	put(t, x.dir+"/0", "data")
	for i := range 41 {
		must(t, os.Symlink(fmt.Sprint(i), fmt.Sprintf("%s/%d", x.dir, i+1)))
	}
	sees(t, x.dir+"/40", "data")
	answers(t, "41 links", touch(x.dir+"/41", unix.O_RDONLY, 0), unix.ELOOP)
}

// slashes: a slash at the end asks for a directory (path_resolution(7)).
func slashes(t *testing.T, x site) {
	put(t, x.dir+"/f", "data")
	must(t, os.Mkdir(x.dir+"/d", 0o755))
	must(t, os.Symlink("d", x.dir+"/l"))
	for what, err := range byName(x.dir + "/f/") {
		answers(t, what, err, unix.ENOTDIR)
	}
	must(t, unix.Mkdir(x.dir+"/e/", 0o755))
	must(t, unix.Rename(x.dir+"/e/", x.dir+"/g/"))
	must(t, unix.Rmdir(x.dir+"/g/"))
	answers(t, "create", touch(x.dir+"/new/", unix.O_CREAT|unix.O_WRONLY, 0o644), unix.EISDIR)
	answers(t, "rmdir of a link", unix.Rmdir(x.dir+"/l/"), unix.ENOTDIR)
	answers(t, "rename a file", unix.Rename(x.dir+"/f", x.dir+"/new/"), unix.ENOTDIR)
	answers(t, "rmdir .", unix.Rmdir(x.dir+"/d/."), unix.EINVAL)
	answers(t, "rmdir ..", unix.Rmdir(x.dir+"/d/.."), unix.ENOTEMPTY)
	answers(t, "rename .", unix.Rename(x.dir+"/d/.", x.dir+"/e"), unix.EBUSY)
	answers(t, "an empty name", unix.Stat("", new(unix.Stat_t)), unix.ENOENT)
	sees(t, x.dir+"/d/.././f", "data")
}

// there: nothing is made where something is, a link that leads nowhere included.
func there(t *testing.T, x site) {
	put(t, x.dir+"/other", "data")
	put(t, x.dir+"/f", "data")
	must(t, os.Mkdir(x.dir+"/d", 0o755))
	must(t, os.Symlink("none", x.dir+"/l"))
	must(t, unix.Mkfifo(x.dir+"/p", 0o644))
	for _, name := range []string{"f", "d", "l", "p"} {
		allAnswer(t, byNewName(x.dir+"/"+name, x.dir+"/other"), unix.EEXIST)
	}
	must(t, touch(x.dir+"/l", unix.O_CREAT|unix.O_WRONLY, 0o644))
	sees(t, x.dir+"/none", "")
}

func notThere(t *testing.T, x site) {
	put(t, x.dir+"/f", "data")
	allAnswer(t, byName(x.dir+"/none"), unix.ENOENT)
	allAnswer(t, byName(x.dir+"/none/f"), unix.ENOENT)
	allAnswer(t, byName(x.dir+"/f/below"), unix.ENOTDIR)
	allAnswer(t, byNewName(x.dir+"/none/f", x.dir+"/f"), unix.ENOENT)
	allAnswer(t, byNewName(x.dir+"/f/below", x.dir+"/f"), unix.ENOTDIR)
	answers(t, "rename into nothing", unix.Rename(x.dir+"/f", x.dir+"/none/f"), unix.ENOENT)
	answers(t, "rename below a file", unix.Rename(x.dir+"/f", x.dir+"/f/f"), unix.ENOTDIR)
}

// kinds: a call for another kind of file.
func kinds(t *testing.T, x site) {
	put(t, x.dir+"/f", "data")
	must(t, os.MkdirAll(x.dir+"/d/full", 0o755))
	_, err := os.Readlink(x.dir + "/f")
	answers(t, "readlink of a file", err, unix.EINVAL)
	answers(t, "rmdir of a file", unix.Rmdir(x.dir+"/f"), unix.ENOTDIR)
	answers(t, "unlink of a directory", unix.Unlink(x.dir+"/d"), unix.EISDIR)
	answers(t, "rmdir of a full directory", unix.Rmdir(x.dir+"/d"), unix.ENOTEMPTY)
	answers(t, "link of a directory", unix.Link(x.dir+"/d", x.dir+"/e"), unix.EPERM)
	answers(t, "truncate of a directory", unix.Truncate(x.dir+"/d", 0), unix.EISDIR)
	answers(t, "a directory for writing", touch(x.dir+"/d", unix.O_RDWR, 0), unix.EISDIR)
	answers(t, "creating a directory by open", touch(x.dir+"/d", unix.O_CREAT|unix.O_RDONLY, 0o644), unix.EISDIR)
	fd, err := unix.Open(x.dir+"/d", unix.O_RDONLY, 0)
	must(t, err)
	defer unix.Close(fd)
	_, err = unix.Read(fd, make([]byte, 10))
	answers(t, "read of a directory", err, unix.EISDIR)
	must(t, unix.Fsync(fd))
}

func renames(t *testing.T, x site) {
	must(t, os.MkdirAll(x.dir+"/d/sub", 0o755))
	must(t, os.MkdirAll(x.dir+"/full/sub", 0o755))
	must(t, os.MkdirAll(x.dir+"/empty", 0o755))
	put(t, x.dir+"/f", "data")
	put(t, x.dir+"/g", "other")
	must(t, os.Link(x.dir+"/f", x.dir+"/same"))
	for _, c := range []struct {
		from, to string
		want     unix.Errno
	}{
		{"d", "full", unix.ENOTEMPTY},
		{"d", "f", unix.ENOTDIR},
		{"f", "empty", unix.EISDIR},
		{"d", "d/sub/x", unix.EINVAL},
		{"d/sub", "d", unix.ENOTEMPTY},
		{"d", "empty", 0},
		{"empty", "d", 0},
		{"f", "f", 0},
		{"f", "same", 0}, // nothing is done
		{"f", "g", 0},
	} {
		answers(t, c.from+" to "+c.to, unix.Rename(x.dir+"/"+c.from, x.dir+"/"+c.to), c.want)
	}
	sees(t, x.dir+"/g", "data")
	sees(t, x.dir+"/same", "data")
	var st unix.Stat_t
	must(t, unix.Stat(x.dir+"/g", &st))
	if st.Nlink != 2 {
		t.Errorf("%d links", st.Nlink)
	}
	must(t, unix.Stat(x.dir+"/d/sub", &st))
	answers(t, "what was renamed", unix.Stat(x.dir+"/empty", &st), unix.ENOENT)
}

func acrossDevices(t *testing.T, x site) {
	put(t, x.dir+"/f", "data")
	away := lab.Dir(t)
	put(t, away+"/f", "data")
	answers(t, "rename", unix.Rename(x.dir+"/f", away+"/g"), unix.EXDEV)
	answers(t, "rename to here", unix.Rename(away+"/f", x.dir+"/g"), unix.EXDEV)
	answers(t, "link", unix.Link(x.dir+"/f", away+"/g"), unix.EXDEV)
	answers(t, "link to here", unix.Link(away+"/f", x.dir+"/g"), unix.EXDEV)
}

// TestManyLinks needs a host file system that has a limit; most have one near 65,000.
func TestManyLinks(t *testing.T) {
	forServers(t, func(t *testing.T, server *lab.Server) {
		dir, host := lab.Mount(t, server.URL).Dir, server.Root
		put(t, dir+"/f", "data")
		var err error
		for i := 0; i < 66000 && err == nil; i++ {
			err = os.Link(host+"/f", fmt.Sprintf("%s/%d", host, i))
		}
		if !errors.Is(err, unix.EMLINK) {
			t.Skipf("66,000 links of a file of the host: %v", err)
		}
		answers(t, "one more", unix.Link(dir+"/f", dir+"/more"), unix.EMLINK)
	})
}

func sizes(t *testing.T, x site) {
	f := openFile(t, x.dir+"/f", os.O_RDWR|os.O_CREATE)
	answers(t, "a negative size", unix.Ftruncate(int(f.Fd()), -1), unix.EINVAL)
	answers(t, "more than any file has", unix.Ftruncate(int(f.Fd()), 1<<63-1), unix.EFBIG)
	if x.cache != "loose" { // where it is the server's answer to fsync(2)
		_, err := unix.Pwrite(int(f.Fd()), []byte("x"), 1<<62)
		answers(t, "a write there", err, unix.EFBIG)
	}
	_, err := unix.Pwrite(int(f.Fd()), []byte("x"), -1)
	answers(t, "a write before the beginning", err, unix.EINVAL)
	_, err = unix.Seek(int(f.Fd()), -1, unix.SEEK_SET)
	answers(t, "a seek there", err, unix.EINVAL)
	_, err = unix.Seek(int(f.Fd()), 1, unix.SEEK_DATA)
	answers(t, "data behind the end", err, unix.ENXIO)
	sees(t, x.dir+"/f", "")
	r := openFile(t, x.dir+"/f", os.O_RDONLY)
	_, err = unix.Write(int(r.Fd()), []byte("x"))
	answers(t, "a write to a file open for reading", err, unix.EBADF)
	answers(t, "its size", unix.Ftruncate(int(r.Fd()), 0), unix.EINVAL)
}

func openingSpecial(t *testing.T, x site) {
	must(t, unix.Mkfifo(x.dir+"/p", 0o644))
	must(t, unix.Mknod(x.dir+"/s", unix.S_IFSOCK|0o644, 0))
	answers(t, "a pipe that nobody reads", touch(x.dir+"/p", unix.O_WRONLY|unix.O_NONBLOCK, 0), unix.ENXIO)
	answers(t, "a pipe to read", touch(x.dir+"/p", unix.O_RDONLY|unix.O_NONBLOCK, 0), 0)
	answers(t, "a socket", touch(x.dir+"/s", unix.O_RDWR, 0), unix.ENXIO)
	answers(t, "truncate of a pipe", unix.Truncate(x.dir+"/p", 0), unix.EINVAL)
}

// openFlags are those of open(2) that are about names.
func openFlags(t *testing.T, x site) {
	put(t, x.dir+"/f", "data")
	must(t, os.Mkdir(x.dir+"/d", 0o755))
	must(t, os.Symlink("f", x.dir+"/l"))
	must(t, os.Symlink("d", x.dir+"/ld"))
	for _, c := range []struct {
		name  string
		flags int
		want  unix.Errno
	}{
		{"l", unix.O_RDONLY | unix.O_NOFOLLOW, unix.ELOOP},
		{"ld", unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_DIRECTORY, unix.ENOTDIR},
		{"ld/../f", unix.O_RDONLY | unix.O_NOFOLLOW, 0},
		{"l", unix.O_PATH | unix.O_NOFOLLOW, 0},
		{"f", unix.O_RDONLY | unix.O_DIRECTORY, unix.ENOTDIR},
		{"d", unix.O_RDONLY | unix.O_DIRECTORY, 0},
		{"ld", unix.O_RDONLY | unix.O_DIRECTORY, 0},
		{"f", unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL, unix.EEXIST},
		{"l", unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL, unix.EEXIST},
		{"d", unix.O_RDONLY | unix.O_CREAT, unix.EISDIR},
		{".", unix.O_RDWR | unix.O_TMPFILE, unix.EOPNOTSUPP},
		{"f", unix.O_RDWR | unix.O_SYNC, 0},
		{"f", unix.O_RDWR | unix.O_DSYNC, 0},
		{"f", unix.O_RDWR | unix.O_NOATIME, 0},
		{"f", unix.O_RDWR | unix.O_APPEND | unix.O_NONBLOCK, 0},
		{"none", unix.O_RDWR, unix.ENOENT},
		{"none", unix.O_RDWR | unix.O_TRUNC, unix.ENOENT},
		{"f", unix.O_RDWR | unix.O_TRUNC, 0},
	} {
		answers(t, fmt.Sprintf("open %s with %#o", c.name, c.flags), touch(x.dir+"/"+c.name, c.flags, 0o644), c.want)
	}
	sees(t, x.dir+"/f", "")
}

func xattrErrors(t *testing.T, x site) {
	f := x.dir + "/f"
	put(t, f, "data")
	value := make([]byte, 65536)
	answers(t, "no such attribute", unix.Removexattr(f, "user.none"), unix.ENODATA)
	answers(t, "an empty name", unix.Setxattr(f, "", value[:1], 0), unix.ERANGE)
	answers(t, "a name that is too long", unix.Setxattr(f, "user."+strings.Repeat("n", 251), value[:1], 0), unix.ERANGE)
	answers(t, "a value that is too long", unix.Setxattr(f, "user.a", append(value, 0), 0), unix.E2BIG)
	answers(t, "flags", unix.Setxattr(f, "user.a", value[:1], unix.XATTR_CREATE|unix.XATTR_REPLACE|4), unix.EINVAL)
	answers(t, "a name without a name space", unix.Setxattr(f, "a", value[:1], 0), unix.EOPNOTSUPP)
	answers(t, "an attribute", unix.Setxattr(f, "user.a", value[:100], 0), 0)
	_, err := unix.Listxattr(f, value[:3])
	answers(t, "a list without room", err, unix.ERANGE)
	if x.server != "diod" { // which takes it for a removal
		answers(t, "an empty value", unix.Setxattr(f, "user.a", nil, unix.XATTR_REPLACE), 0)
		n, err := unix.Getxattr(f, "user.a", value)
		if n != 0 || err != nil {
			t.Errorf("an empty value is %d bytes: %v", n, err)
		}
	}
	must(t, os.Symlink("f", x.dir+"/l"))
	answers(t, "user attributes of a link", unix.Lsetxattr(x.dir+"/l", "user.a", value[:1], 0), unix.EPERM)
}
