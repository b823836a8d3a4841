package mount_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPermissions: who may do what (path_resolution(7), inode(7), and the pages of the calls), and what becomes of owners and modes.
func TestPermissions(t *testing.T) {
	forCacheModes(t, func(t *testing.T, x site) {
		old := unix.Umask(0)
		defer unix.Umask(old)
		for name, check := range map[string]func(*testing.T, site){
			"search": searching, "classes": classes, "access": accessing, "sticky": sticky, "owner": changingOwner, "mode": changingMode,
			"times": settingTimes, "birth": birth, "setgid-directory": setgidDirectory, "write-clears": writeClears, "chown-clears": chownClears,
		} {
			t.Run(name, func(t *testing.T) { check(t, x.below(t, name)) })
		}
	})
}

// give makes a file or a directory, with owner and mode.
func give(t *testing.T, path string, isDir bool, who user, mode uint32) {
	t.Helper()
	if isDir {
		must(t, unix.Mkdir(path, 0o755))
	} else {
		put(t, path, "data")
	}
	must(t, os.Chown(path, who.uid, who.gid))
	must(t, unix.Chmod(path, mode))
}

// touch opens a file and closes it.
func touch(path string, flags int, mode uint32) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, mode)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// has returns an error unless a file has that owner, group and mode.
func has(path string, uid, gid int, mode uint32) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	if int(st.Uid) != uid || int(st.Gid) != gid || st.Mode&0o7777 != mode {
		return fmt.Errorf("%s has owner %d:%d and mode %o, want %d:%d and %o", path, st.Uid, st.Gid, st.Mode&0o7777, uid, gid, mode)
	}
	return nil
}

// searching: nothing can be done with a name in a directory that one may not search, and no name be changed in one that one may
// not write to. Whoever may only search can't list.
func searching(t *testing.T, x site) {
	for name, mode := range map[string]uint32{"closed": 0o700, "search": 0o711, "list": 0o744} {
		dir := x.dir + "/" + name
		give(t, dir, true, ann, mode)
		give(t, dir+"/f", false, bob, 0o666)
		give(t, dir+"/d", true, bob, 0o777)
		search, list := unix.Errno(0), unix.Errno(0)
		if mode&1 == 0 {
			search = unix.EACCES
		}
		if mode&4 == 0 {
			list = unix.EACCES
		}
		steps := []step{
			{bob, "stat", search, func() error { return unix.Stat(dir+"/f", new(unix.Stat_t)) }},
			{bob, "open", search, func() error { return touch(dir+"/f", unix.O_RDWR, 0) }},
			{bob, "chmod", search, func() error { return unix.Chmod(dir+"/f", 0o666) }},
			{bob, "truncate", search, func() error { return unix.Truncate(dir+"/f", 1) }},
			{bob, "list below", search, func() error { _, err := os.ReadDir(dir + "/d"); return err }},
			{bob, "list", list, func() error { _, err := os.ReadDir(dir); return err }},
			{bob, "a directory that is not its own for writing", unix.EISDIR, func() error { return touch(dir, unix.O_WRONLY, 0) }},
		}
		for what, do := range changesOfNames(dir) {
			steps = append(steps, step{bob, what, unix.EACCES, do})
		}
		carryOut(t, steps)
		must(t, has(dir+"/f", bob.uid, bob.gid, 0o666))
	}
}

// changesOfNames are calls that change which names there are in a directory that holds a file f and a directory d.
func changesOfNames(dir string) map[string]func() error {
	return map[string]func() error{
		"create":  func() error { return touch(dir+"/new", unix.O_CREAT|unix.O_WRONLY, 0o644) },
		"mkdir":   func() error { return unix.Mkdir(dir+"/new", 0o755) },
		"mkfifo":  func() error { return unix.Mkfifo(dir+"/new", 0o644) },
		"symlink": func() error { return unix.Symlink("f", dir+"/new") },
		"link":    func() error { return unix.Link(dir+"/f", dir+"/new") },
		"rename":  func() error { return unix.Rename(dir+"/f", dir+"/new") },
		"unlink":  func() error { return unix.Unlink(dir + "/f") },
		"rmdir":   func() error { return unix.Rmdir(dir + "/d") },
	}
}

// classes: the first class that one belongs to counts, supplementary groups included.
func classes(t *testing.T, x site) {
	f := x.dir + "/f"
	give(t, f, false, user{uid: ann.uid, gid: 1003}, 0o640)
	give(t, x.dir+"/g", false, user{uid: ann.uid, gid: 1003}, 0o077)
	carryOut(t, []step{
		{ann, "owner writes", 0, func() error { return touch(f, unix.O_RDWR, 0) }},
		{bob, "group reads", 0, func() error { return touch(f, unix.O_RDONLY, 0) }},
		{bob, "group writes", unix.EACCES, func() error { return touch(f, unix.O_WRONLY, 0) }},
		{bob, "group truncates", unix.EACCES, func() error { return touch(f, unix.O_RDONLY|unix.O_TRUNC, 0) }},
		{user{uid: 1004, gid: 1004}, "others read", unix.EACCES, func() error { return touch(f, unix.O_RDONLY, 0) }},
		{ann, "an owner without rights", unix.EACCES, func() error { return touch(x.dir+"/g", unix.O_RDONLY, 0) }},
		{bob, "a group with them", 0, func() error { return touch(x.dir+"/g", unix.O_RDWR, 0) }},
		{root, "root", 0, func() error { return touch(x.dir+"/g", unix.O_RDWR, 0) }},
		{bob, "O_NOATIME is the owner's", unix.EPERM, func() error { return touch(x.dir+"/g", unix.O_RDONLY|unix.O_NOATIME, 0) }},
	})
	sees(t, f, "data")
}

func accessing(t *testing.T, x site) {
	give(t, x.dir+"/f", false, ann, 0o640)
	give(t, x.dir+"/run", false, ann, 0o100)
	for _, c := range []struct {
		who  user
		file string
		mode uint32
		want unix.Errno
	}{
		{ann, "f", unix.R_OK | unix.W_OK, 0},
		{ann, "f", unix.X_OK, unix.EACCES},
		{bob, "f", unix.F_OK, 0},
		{bob, "f", unix.R_OK, unix.EACCES},
		{root, "f", unix.R_OK | unix.W_OK, 0},
		{root, "f", unix.X_OK, unix.EACCES},
		{root, "run", unix.X_OK, 0},
		{ann, "none", unix.F_OK, unix.ENOENT},
	} {
		what := fmt.Sprintf("access %o of %s by %d", c.mode, c.file, c.who.uid)
		carryOut(t, []step{{c.who, what, c.want, func() error { return unix.Access(x.dir+"/"+c.file, c.mode) }}})
	}
}

// sticky: in such a directory a name is its file's owner's and the directory's owner's.
func sticky(t *testing.T, x site) {
	dir := x.dir + "/tmp"
	give(t, dir, true, root, 0o1777)
	give(t, dir+"/f", false, ann, 0o666)
	give(t, dir+"/d", true, ann, 0o777)
	give(t, dir+"/mine", false, bob, 0o666)
	give(t, x.dir+"/bobs", true, bob, 0o1777)
	give(t, x.dir+"/bobs/f", false, ann, 0o666)
	carryOut(t, []step{
		{bob, "unlink another's", unix.EPERM, func() error { return unix.Unlink(dir + "/f") }},
		{bob, "rmdir another's", unix.EPERM, func() error { return unix.Rmdir(dir + "/d") }},
		{bob, "rename another's", unix.EPERM, func() error { return unix.Rename(dir+"/f", dir+"/g") }},
		{bob, "rename onto another's", unix.EPERM, func() error { return unix.Rename(dir+"/mine", dir+"/f") }},
		{bob, "rename another's directory", unix.EPERM, func() error { return unix.Rename(dir+"/d", dir+"/e") }},
		{bob, "write to another's", 0, func() error { return touch(dir+"/f", unix.O_WRONLY, 0) }},
		{bob, "rename its own", 0, func() error { return unix.Rename(dir+"/mine", dir+"/bob") }},
		{bob, "unlink its own", 0, func() error { return unix.Unlink(dir + "/bob") }},
		{ann, "rmdir its own", 0, func() error { return unix.Rmdir(dir + "/d") }},
		{bob, "unlink another's in its own directory", 0, func() error { return unix.Unlink(x.dir + "/bobs/f") }},
		{root, "unlink as root", 0, func() error { return unix.Unlink(dir + "/f") }},
	})
}

// changingOwner: only root gives files away; an owner may choose among its groups.
func changingOwner(t *testing.T, x site) {
	f := x.dir + "/f"
	give(t, f, false, bob, 0o644)
	must(t, unix.Symlink("f", x.dir+"/l"))
	must(t, os.Lchown(x.dir+"/l", bob.uid, bob.gid))
	carryOut(t, []step{
		{bob, "to another user", unix.EPERM, func() error { return unix.Chown(f, ann.uid, -1) }},
		{bob, "to a group that is not its own", unix.EPERM, func() error { return unix.Chown(f, -1, 1004) }},
		{bob, "to one of its groups", 0, func() error { return unix.Chown(f, bob.uid, 1003) }},
		{bob, "that is seen", 0, func() error { return has(f, bob.uid, 1003, 0o644) }},
		{ann, "another's to its group", unix.EPERM, func() error { return unix.Chown(f, -1, ann.gid) }},
		{bob, "a link itself", 0, func() error { return unix.Lchown(x.dir+"/l", -1, 1003) }},
		{bob, "which is seen", 0, func() error { return has(x.dir+"/l", bob.uid, 1003, 0o777) }},
		{root, "as root", 0, func() error { return unix.Chown(f, 12, 34) }},
		{root, "as root, through a link", 0, func() error { return unix.Chown(x.dir+"/l", 56, -1) }},
		{root, "both", 0, func() error { return has(f, 56, 34, 0o644) }},
	})
}

func changingMode(t *testing.T, x site) {
	f, d := x.dir+"/f", x.dir+"/d"
	give(t, f, false, user{uid: bob.uid, gid: 1004}, 0o644)
	give(t, d, true, bob, 0o755)
	carryOut(t, []step{
		{ann, "another's", unix.EPERM, func() error { return unix.Chmod(f, 0o777) }},
		{bob, "its own", 0, func() error { return unix.Chmod(f, 0o4710) }},
		{bob, "seen", 0, func() error { return has(f, bob.uid, 1004, 0o4710) }},
		{bob, "setgid for a group that is not its own", 0, func() error { return unix.Chmod(f, 0o2755) }},
		{bob, "has no effect", 0, func() error { return has(f, bob.uid, 1004, 0o755) }},
		{bob, "setgid and sticky on a directory", 0, func() error { return unix.Chmod(d, 0o3775) }},
		{bob, "stay", 0, func() error { return has(d, bob.uid, bob.gid, 0o3775) }},
	})
}

// settingTimes: to the present whoever may write may, to another time the owner alone (utimensat(2)).
func settingTimes(t *testing.T, x site) {
	f := x.dir + "/f"
	give(t, f, false, ann, 0o664)
	give(t, x.dir+"/open", false, ann, 0o666)
	then := []unix.Timespec{{Sec: 1e9, Nsec: 1}, {Sec: 1e9 + 1, Nsec: 999999999}}
	now := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_NOW}}
	half := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_OMIT}}
	none := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	set := func(name string, times []unix.Timespec) func() error {
		return func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, x.dir+"/"+name, times, 0) }
	}
	carryOut(t, []step{
		{bob, "to now without the right to write", unix.EACCES, set("f", now)},
		{bob, "to no times without the right to write", unix.EACCES, set("f", nil)},
		{bob, "to a time", unix.EPERM, set("open", then)},
		{bob, "one of them to now", unix.EPERM, set("open", half)},
		{bob, "neither", 0, set("f", none)},
		{bob, "to now with the right to write", 0, set("open", now)},
		{bob, "to no times with the right to write", 0, set("open", nil)},
		{ann, "the owner's to a time", 0, set("f", then)},
		{ann, "to the nanosecond", 0, func() error { return atTimes(f, then[0], then[1]) }},
		{ann, "the first omitted", 0, set("f", []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: -5, Nsec: 7}})},
		{ann, "it stayed, and there is a time before 1970", 0, func() error { return atTimes(f, then[0], unix.Timespec{Sec: -5, Nsec: 7}) }},
	})
}

// atTimes returns an error unless a file was used and changed at these times.
func atTimes(path string, atime, mtime unix.Timespec) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	if st.Atim != atime || st.Mtim != mtime {
		return fmt.Errorf("atime %v and mtime %v, want %v and %v", st.Atim, st.Mtim, atime, mtime)
	}
	return nil
}

// birth: a new file is its maker's and has the mode asked for, whatever kind it is.
func birth(t *testing.T, x site) {
	dir := x.dir + "/d"
	give(t, dir, true, root, 0o777)
	for _, c := range births(dir) {
		carryOut(t, []step{
			{bob, "make " + c.path, 0, c.make},
			{bob, "owner and mode", 0, func() error { return has(c.path, bob.uid, bob.gid, c.mode) }},
		})
	}
	carryOut(t, []step{
		{bob, "create a file that its maker may not write", 0, func() error {
			fd, err := unix.Open(dir+"/readonly", unix.O_RDWR|unix.O_CREAT, 0o444)
			if err != nil {
				return err
			}
			_, err = unix.Write(fd, []byte("data"))
			return errors.Join(err, unix.Close(fd))
		}},
		{bob, "and open it again", unix.EACCES, func() error { return touch(dir+"/readonly", unix.O_RDWR, 0) }},
		{bob, "setuid from the beginning", 0, func() error { return touch(dir+"/setuid", unix.O_CREAT|unix.O_WRONLY, 0o6755) }},
		{bob, "it is", 0, func() error { return has(dir+"/setuid", bob.uid, bob.gid, 0o6755) }},
		{bob, "a device", unix.EPERM, func() error { return unix.Mknod(dir+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) }},
	})
	sees(t, dir+"/readonly", "data")
}

// born is a file to be made.
type born struct {
	path string
	mode uint32
	make func() error
}

func births(dir string) []born {
	return []born{
		{dir + "/file", 0o640, func() error { return touch(dir+"/file", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o640) }},
		{dir + "/mknod", 0o604, func() error { return unix.Mknod(dir+"/mknod", unix.S_IFREG|0o604, 0) }},
		{dir + "/directory", 0o1751, func() error { return unix.Mkdir(dir+"/directory", 0o1751) }},
		{dir + "/fifo", 0o622, func() error { return unix.Mkfifo(dir+"/fifo", 0o622) }},
		{dir + "/socket", 0o755, func() error { return unix.Mknod(dir+"/socket", unix.S_IFSOCK|0o755, 0) }},
		{dir + "/symlink", 0o777, func() error { return unix.Symlink("file", dir+"/symlink") }},
	}
}

// setgidDirectory: what is made in it has its group, and directories the bit as well (inode(7)).
func setgidDirectory(t *testing.T, x site) {
	dir := x.dir + "/d"
	give(t, dir, true, user{gid: 1003}, 0o2777)
	for _, c := range births(dir) {
		if c.path == dir+"/directory" {
			c.mode |= unix.S_ISGID
		}
		carryOut(t, []step{
			{ann, "make " + c.path, 0, c.make},
			{ann, "group and mode", 0, func() error { return has(c.path, ann.uid, 1003, c.mode) }},
		})
	}
	carryOut(t, []step{
		{ann, "setgid for a group that is not its own", 0, func() error { return touch(dir+"/no", unix.O_CREAT|unix.O_WRONLY, 0o2775) }},
		{ann, "has no effect", 0, func() error { return has(dir+"/no", ann.uid, 1003, 0o775) }},
		{bob, "setgid for a group of its own", 0, func() error { return touch(dir+"/yes", unix.O_CREAT|unix.O_WRONLY, 0o2775) }},
		{bob, "has", 0, func() error { return has(dir+"/yes", bob.uid, 1003, 0o2775) }},
	})
}

// writeClears: someone else than root who changes a file takes its setuid and setgid bits (write(2), truncate(2)).
func writeClears(t *testing.T, x site) {
	changes := map[string]func(path string) error{
		"write": func(path string) error {
			fd, err := unix.Open(path, unix.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = unix.Write(fd, []byte("x"))
			return errors.Join(err, unix.Close(fd))
		},
		"write at the end": func(path string) error {
			fd, err := unix.Open(path, unix.O_WRONLY|unix.O_APPEND, 0)
			if err != nil {
				return err
			}
			_, err = unix.Write(fd, []byte("x"))
			return errors.Join(err, unix.Close(fd))
		},
		"truncate": func(path string) error { return unix.Truncate(path, 1) },
		"O_TRUNC":  func(path string) error { return touch(path, unix.O_WRONLY|unix.O_TRUNC, 0) },
	}
	for what, change := range changes {
		f := x.dir + "/" + what
		for _, c := range []struct {
			who          user
			before, then uint32
		}{
			{bob, 0o6777, 0o777}, {bob, 0o4666, 0o666}, {root, 0o6777, 0o6777}, {bob, 0o1666, 0o1666},
		} {
			give(t, f, false, ann, c.before)
			carryOut(t, []step{
				{c.who, what, 0, func() error { return change(f) }},
				{c.who, fmt.Sprintf("%s a file of mode %o as %d", what, c.before, c.who.uid), 0, func() error { return has(f, ann.uid, ann.gid, c.then) }},
			})
			must(t, unix.Unlink(f))
		}
	}
}

// chownClears: so does a change of the owner, whoever makes it (chown(2)).
func chownClears(t *testing.T, x site) {
	f := x.dir + "/f"
	give(t, f, false, bob, 0o6755)
	carryOut(t, []step{
		{bob, "to one of its groups", 0, func() error { return unix.Chown(f, -1, 1003) }},
		{bob, "cleared", 0, func() error { return has(f, bob.uid, 1003, 0o755) }},
		{bob, "again", 0, func() error { return unix.Chmod(f, 0o6755) }},
		{root, "by root", 0, func() error { return unix.Chown(f, ann.uid, ann.gid) }},
		{root, "cleared by root", 0, func() error { return has(f, ann.uid, ann.gid, 0o755) }},
	})
}
