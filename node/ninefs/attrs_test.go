package ninefs_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/ninefs"
)

func TestChmodChownUtimes(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		write(t, m.path("f"), "f")
		check(t, os.Chmod(m.path("f"), 0o604|os.ModeSetuid))
		check(t, os.Chown(m.path("f"), 12, 34))
		when := time.Unix(1_000_000_007, 123_456_789)
		check(t, os.Chtimes(m.path("f"), when.Add(time.Second), when))
		for _, path := range []string{m.path("f"), filepath.Join(s.root, "f")} {
			st := stat(t, path)
			if st.Mode&0o777 != 0o604 || st.Uid != 12 || st.Gid != 34 {
				t.Errorf("%s: mode %o, owner %d:%d", path, st.Mode, st.Uid, st.Gid)
			}
			if st.Mtim.Nano() != when.UnixNano() || st.Atim.Nano() != when.Add(time.Second).UnixNano() {
				t.Errorf("%s: times %v, %v", path, st.Atim, st.Mtim)
			}
		}
		// The server's now for one time, the other as it was.
		before := time.Now().Add(-time.Minute)
		check(t, unix.UtimesNanoAt(unix.AT_FDCWD, m.path("f"), []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_NOW}}, 0))
		st := stat(t, m.path("f"))
		if st.Atim.Nano() != when.Add(time.Second).UnixNano() || st.Mtim.Nano() < before.UnixNano() {
			t.Errorf("after UTIME_NOW: times %v, %v", st.Atim, st.Mtim)
		}
	})
}

func TestBlockSize(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		write(t, m.path("f"), "f")
		if st := stat(t, m.path("f")); st.Blksize < 4096 || st.Blksize > 1<<20 || st.Blksize&(st.Blksize-1) != 0 {
			t.Errorf("block size %d", st.Blksize)
		}
	})
}

// as runs a command of coreutils as another user.
func as(t *testing.T, uid, gid uint32, command ...string) error {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", `umask 022; exec "$@"`, "sh"}, command...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%v as %d: %w: %s", command, uid, err, out)
	}
	return nil
}

// python is the command that does this with its argument.
func python(what string) []string { return []string{"python3", "-c", "import os, sys; " + what} }

// TestMakerOwns: one attach serves everybody, and what a user makes is the user's all the same.
func TestMakerOwns(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s)
		check(t, os.Mkdir(m.path("open"), 0o755))
		check(t, os.Chmod(m.path("open"), 0o777))
		check(t, os.Mkdir(m.path("team"), 0o755))
		check(t, os.Chown(m.path("team"), 0, 77))
		check(t, os.Chmod(m.path("team"), 0o777|os.ModeSetgid))
		for _, c := range []struct {
			dir  string
			name string
			make []string
			mode uint32
			gid  uint32
		}{
			{"open", "file", []string{"touch"}, unix.S_IFREG | 0o644, 1002},
			{"open", "dir", []string{"mkdir"}, unix.S_IFDIR | 0o755, 1002},
			{"open", "link", []string{"ln", "-s", "x"}, unix.S_IFLNK | 0o777, 1002},
			{"open", "fifo", []string{"mkfifo"}, unix.S_IFIFO | 0o644, 1002},
			{"open", "suid", []string{"install", "-m", "4755", "/dev/null"}, unix.S_IFREG | 0o4755, 1002},
			{"open", "created suid", python("os.close(os.open(sys.argv[1], os.O_CREAT|os.O_WRONLY, 0o4711))"), unix.S_IFREG | 0o4711, 1002},
			{"open", "mknod suid", python("os.mknod(sys.argv[1], 0o4711)"), unix.S_IFREG | 0o4711, 1002},
			{"team", "created sgid", python("os.close(os.open(sys.argv[1], os.O_CREAT|os.O_WRONLY, 0o2701))"), unix.S_IFREG | 0o2701, 77},
			{"team", "file", []string{"touch"}, unix.S_IFREG | 0o644, 77},
			{"team", "dir", []string{"mkdir"}, unix.S_IFDIR | 0o2755, 77},
		} {
			path := filepath.Join(c.dir, c.name)
			check(t, as(t, 1001, 1002, append(slices.Clone(c.make), m.path(path))...))
			for _, p := range []string{m.path(path), filepath.Join(s.root, path)} {
				if st := stat(t, p); st.Uid != 1001 || st.Gid != c.gid || st.Mode != c.mode {
					t.Errorf("%s: owner %d:%d, mode %o, want 1001:%d, %o", p, st.Uid, st.Gid, st.Mode, c.gid, c.mode)
				}
			}
		}
	})
}

// TestMakerOwnsNothingElse: what another client has put in the place of what a user made is not the user's.
func TestMakerOwnsNothingElse(t *testing.T) {
	for _, c := range []struct {
		make  []string
		reply ninep.MsgType
	}{
		{[]string{"mkdir"}, ninep.TypeRmkdir},
		{[]string{"mkfifo"}, ninep.TypeRmknod},
		{[]string{"ln", "-s", "x"}, ninep.TypeRsymlink},
	} {
		t.Run(c.make[0], func(t *testing.T) {
			noLeak(t)
			s := exporter(t)
			dir := filepath.Join(s.root, "open")
			check(t, os.Mkdir(dir, 0o777))
			check(t, as(t, 0, 0, append(slices.Clone(c.make), dir+"/theirs")...))
			var swap sync.Once
			m := mount(t, answers(t, s, func(frame []byte) {
				if ninep.MsgType(frame[4]) == c.reply {
					swap.Do(func() {
						if err := errors.Join(os.Rename(dir+"/new", dir+"/made"), os.Rename(dir+"/theirs", dir+"/new")); err != nil {
							t.Error(err)
						}
					})
				}
			}))
			if err := as(t, 1001, 1002, append(slices.Clone(c.make), m.path("open/new"))...); err == nil {
				t.Error("what another client made counts as made here")
			}
			if st := stat(t, dir+"/new"); st.Uid != 0 {
				t.Errorf("what another client made was given to user %d", st.Uid)
			}
		})
	}
}

// TestKernelChecksPermissions: also those that follow from a group, which 9P does not carry.
func TestKernelChecksPermissions(t *testing.T) {
	noLeak(t)
	m := mount(t, exporter(t))
	write(t, m.path("secret"), "secret")
	check(t, os.Chmod(m.path("secret"), 0o640))
	check(t, os.Chown(m.path("secret"), 0, 1002))
	check(t, as(t, 1001, 1002, "cat", m.path("secret")))
	if as(t, 1001, 1003, "cat", m.path("secret")) == nil {
		t.Error("a stranger reads a file of mode 0640")
	}
	if as(t, 1001, 1002, "truncate", "-s0", m.path("secret")) == nil {
		t.Error("the group truncates a file of mode 0640")
	}
	if as(t, 1001, 1002, "rm", "-f", m.path("secret")) == nil {
		t.Error("a stranger removes a file from a directory of mode 0755")
	}
}

// TestServerChecksPermissions is access by user: each has fids of its own.
func TestServerChecksPermissions(t *testing.T) {
	noLeak(t)
	s := exporter(t)
	m := mountByUser(t, s)
	check(t, os.Mkdir(m.path("open"), 0o755))
	check(t, os.Chmod(m.path("open"), 0o777))
	write(t, m.path("open/secret"), "secret")
	check(t, os.Chmod(m.path("open/secret"), 0o600))
	if as(t, 1001, 1001, "cat", m.path("open/secret")) == nil {
		t.Error("a stranger reads a file of mode 0600")
	}
	check(t, as(t, 1001, 1001, "touch", m.path("open/mine")))
	if st := stat(t, filepath.Join(s.root, "open/mine")); st.Uid != 1001 {
		t.Errorf("made by 1001, owned by %d", st.Uid)
	}
	wantContent(t, m.path("open/secret"), "secret")
}

// mountByUser mounts a share whose server checks permissions.
func mountByUser(t *testing.T, s share) *mounted {
	t.Helper()
	var session atomic.Pointer[ninep.Session]
	m := mount(t, s, func(o *ninefs.Options) {
		o.Attach = func(ctx context.Context, uid uint32) (*ninep.Fid, error) {
			return session.Load().Attach(ctx, ninep.AttachOptions{UID: uid})
		}
	})
	session.Store(m.session)
	return m
}

// TestHandleOfAnother: what one user has open is nothing that another acts through when the file has no name any more.
func TestHandleOfAnother(t *testing.T) {
	noLeak(t)
	s := exporter(t)
	m := mountByUser(t, s)
	write(t, filepath.Join(s.root, "f"), "content")
	check(t, os.Chown(filepath.Join(s.root, "f"), 1000, 1000))
	check(t, as(t, 0, 0, append(python(`
def become(uid): os.seteuid(0); os.seteuid(uid)
become(1000); owner = os.open(sys.argv[1], os.O_RDWR)
become(1001); other = os.open(sys.argv[1], os.O_RDONLY)
become(0); os.unlink(sys.argv[1])
become(1001)
try: os.fchmod(other, 0o666)
except OSError: sys.exit(0)
sys.exit("another user changed the mode to %o" % os.fstat(other).st_mode)`), m.path("f"))...))
}

func TestXattr(t *testing.T) {
	noLeak(t)
	m := mount(t, exporter(t))
	write(t, m.path("f"), "f")
	path := m.path("f")
	_, err := unix.Lgetxattr(path, "user.a", nil)
	wantErr(t, err, unix.ENODATA)
	big := make([]byte, 3000)
	for i := range big {
		big[i] = byte(i)
	}
	check(t, unix.Lsetxattr(path, "user.a", []byte("value"), unix.XATTR_CREATE))
	wantErr(t, unix.Lsetxattr(path, "user.a", []byte("again"), unix.XATTR_CREATE), unix.EEXIST)
	wantErr(t, unix.Lsetxattr(path, "user.b", big, unix.XATTR_REPLACE), unix.ENODATA)
	check(t, unix.Lsetxattr(path, "user.b", big, 0))
	if n, err := unix.Lgetxattr(path, "user.b", nil); n != len(big) || err != nil {
		t.Errorf("size %d (%v) of user.b, want %d", n, err, len(big))
	}
	_, err = unix.Lgetxattr(path, "user.b", make([]byte, 10))
	wantErr(t, err, unix.ERANGE)
	got := make([]byte, len(big))
	if n, err := unix.Lgetxattr(path, "user.b", got); n != len(big) || err != nil || string(got) != string(big) {
		t.Errorf("user.b: %d bytes (%v)", n, err)
	}
	list := make([]byte, 100)
	n, err := unix.Llistxattr(path, list)
	check(t, err)
	if s := string(list[:n]); s != "user.a\x00user.b\x00" && s != "user.b\x00user.a\x00" {
		t.Errorf("listed %q", s)
	}
	_, err = unix.Llistxattr(path, list[:3])
	wantErr(t, err, unix.ERANGE)
	check(t, unix.Lremovexattr(path, "user.a"))
	wantErr(t, unix.Lremovexattr(path, "user.a"), unix.ENODATA)
	// Version 2, and an entry each for owner, group and others (include/uapi/linux/posix_acl_xattr.h).
	acl := "\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x04\x00\x04\x00\xff\xff\xff\xff\x20\x00\x04\x00\xff\xff\xff\xff"
	wantErr(t, unix.Lsetxattr(path, "system.posix_acl_access", []byte(acl), 0), unix.EOPNOTSUPP)
}

// TestUsage: statfs shows the volume, not the disk that it is on.
func TestUsage(t *testing.T) {
	noLeak(t)
	var usage atomic.Pointer[ninefs.Usage]
	usage.Store(&ninefs.Usage{Capacity: 1 << 30})
	m := mount(t, exporter(t), func(o *ninefs.Options) {
		o.Usage = func(context.Context) ninefs.Usage { return *usage.Load() }
	})
	var st unix.Statfs_t
	check(t, unix.Statfs(m.dir, &st))
	if size := int64(st.Blocks) * st.Bsize; size != 1<<30 {
		t.Errorf("%d bytes large, want %d", size, 1<<30)
	}
	usage.Store(&ninefs.Usage{Capacity: 1 << 30, Used: 3 << 28, Files: 5, UsedKnown: true})
	check(t, unix.Statfs(m.dir, &st))
	if left := int64(st.Bfree) * st.Bsize; left > 1<<28 {
		t.Errorf("%d bytes left of %d of which %d are used", left, 1<<30, 3<<28)
	}
	if used := st.Files - st.Ffree; used != 5 {
		t.Errorf("%d files, want 5", used)
	}
}

// TestFewFids: a mount gives fids back when it has many, and finds what it gave them up for again.
func TestFewFids(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		m := mount(t, s, func(o *ninefs.Options) { o.Fids = ninefs.NewFidCache(3) })
		for i := range 30 {
			dir := filepath.Join(m.dir, fmt.Sprint(i%5), fmt.Sprint(i))
			check(t, os.MkdirAll(dir, 0o755))
			write(t, filepath.Join(dir, "f"), fmt.Sprint(i))
		}
		for i := range 30 {
			path := filepath.Join(m.dir, fmt.Sprint(i%5), fmt.Sprint(i), "f")
			wantContent(t, path, fmt.Sprint(i))
			check(t, os.Chmod(path, 0o600))
			check(t, os.Rename(path, filepath.Join(m.dir, fmt.Sprint(i))+".x"))
		}
		for i := range 30 {
			wantContent(t, m.path(fmt.Sprint(i)+".x"), fmt.Sprint(i))
		}
	})
}

// TestImpossibleSize: a file stays in use when a server once claims that it is longer than a file can be.
func TestImpossibleSize(t *testing.T) {
	noLeak(t)
	const typeAt, sizeAt = ninep.HeaderSize + 8, ninep.HeaderSize + 49 // of Rgetattr: qid.type and size
	var lies atomic.Bool
	m := mount(t, answers(t, exporter(t), func(frame []byte) {
		if lies.Load() && ninep.MsgType(frame[4]) == ninep.TypeRgetattr && frame[typeAt] == 0 {
			binary.LittleEndian.PutUint64(frame[sizeAt:], 1<<63)
		}
	}), func(o *ninefs.Options) { o.AttrTimeout = -1 })
	f := openRW(t, m.path("f"))
	_, err := f.WriteString("content")
	check(t, err)
	for _, size := range []int64{7, math.MaxInt64, 7} {
		lies.Store(size != 7)
		info, err := f.Stat()
		check(t, err)
		if st := stat(t, m.path("f")); info.Size() != size || st.Size != size {
			t.Errorf("sizes %d and %d, want %d", info.Size(), st.Size, size)
		}
	}
	wantContent(t, m.path("f"), "content")
}
