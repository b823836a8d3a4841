package mount_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/lab"
)

// TestDialectPOSIX is what programs still get of a server that speaks an older dialect, and what they are told about the rest.
func TestDialectPOSIX(t *testing.T) {
	every := map[string]func(t *testing.T, dir string){
		"append": appendsAtEnd, "direct": directIO, "noreplace": renameNoReplace, "unlinked": unlinkedOpen,
		"names": anyNames, "removal": removal, "seek": positions,
		"files": filesOfOldDialects, "refused": refusedByOldDialects, "locks": locksOfOldDialects,
	}
	for dialect, more := range map[string]map[string]func(t *testing.T, dir string){
		"9P2000.u": {"links": links, "special": specialFiles, "owners": owners, "exclusive": exclusiveCreate, "umask": modes},
		"9P2000":   {"links": noLinks},
	} {
		t.Run(dialect, func(t *testing.T) {
			server := lab.Exporter(t, lab.Dir(t), "--dialects", dialect)
			mount := lab.Mount(t, server.URL, "dialect=auto")
			for _, checks := range []map[string]func(t *testing.T, dir string){every, more} {
				for name, check := range checks {
					t.Run(name, func(t *testing.T) {
						dir := filepath.Join(mount.Dir, name)
						must(t, os.Mkdir(dir, 0o755))
						check(t, dir)
					})
				}
			}
			t.Run("access-user", func(t *testing.T) {
				dir := filepath.Join(lab.Mount(t, server.URL, "dialect="+dialect, "access=user").Dir, "d")
				must(t, os.Mkdir(dir, 0o755))
				must(t, os.Chown(dir, -1, ann.gid)) // in 9P2000 a file's group is its directory's
				owners(t, dir)
			})
			fails(t, "set the parameter dialect to what it speaks", "mount", "--foreground", server.URL, lab.Dir(t))
		})
	}
}

// filesOfOldDialects: what can be said of a file in every dialect.
func filesOfOldDialects(t *testing.T, dir string) {
	put(t, dir+"/f", "data")
	must(t, os.Chmod(dir+"/f", 0o751))
	when := time.Unix(1234567890, 0)
	must(t, os.Chtimes(dir+"/f", when.Add(time.Hour), when))
	var st unix.Stat_t
	must(t, unix.Stat(dir+"/f", &st))
	if st.Mode != unix.S_IFREG|0o751 || st.Size != 4 || st.Nlink != 1 {
		t.Errorf("%+v", st)
	}
	if st.Mtim.Sec != when.Unix() {
		t.Errorf("mtime %v", st.Mtim)
	}
	must(t, os.Truncate(dir+"/f", 2))
	sees(t, dir+"/f", "da")
	put(t, dir+"/g", "replaced")
	must(t, os.Rename(dir+"/f", dir+"/g"))
	sees(t, dir+"/g", "da")
	f := openFile(t, dir+"/g", os.O_RDWR)
	must(t, f.Sync())
	must(t, os.Mkdir(dir+"/d", 0o750))
	must(t, os.Rename(dir+"/d", dir+"/e"))
	info, err := os.Stat(dir + "/e")
	must(t, err)
	if info.Mode() != os.ModeDir|0o750 {
		t.Errorf("mode %v", info.Mode())
	}
}

// refusedByOldDialects: what has no message answers EOPNOTSUPP, and df gets along.
func refusedByOldDialects(t *testing.T, dir string) {
	put(t, dir+"/f", "data")
	wants(t, "setxattr", unix.Setxattr(dir+"/f", "user.a", []byte("v"), 0), unix.EOPNOTSUPP)
	_, err := unix.Getxattr(dir+"/f", "user.a", make([]byte, 10))
	wants(t, "getxattr", err, unix.EOPNOTSUPP)
	var st unix.Statfs_t
	must(t, unix.Statfs(dir, &st))
}

// locksOfOldDialects exclude the programs of one node.
func locksOfOldDialects(t *testing.T, dir string) {
	for _, kind := range []string{"fcntl", "flock"} {
		held := openFile(t, dir+"/"+kind, os.O_RDWR|os.O_CREATE)
		must(t, takeLock(held, kind, 100))
		child(t, "lock", dir+"/"+kind, kind, "150", "refused")
		must(t, held.Close())
		child(t, "lock", dir+"/"+kind, kind, "150", "granted")
	}
}

// owners: what a user makes is his.
func owners(t *testing.T, dir string) {
	must(t, os.Chmod(dir, 0o777))
	must(t, as(ann, func() error { return touch(dir+"/f", unix.O_WRONLY|unix.O_CREAT, 0o600) }))
	must(t, has(dir+"/f", ann.uid, ann.gid, 0o600))
	must(t, as(ann, func() error { return touch(dir+"/f", unix.O_RDWR, 0) }))
	wants(t, "another's file", as(bob, func() error { return touch(dir+"/f", unix.O_RDONLY, 0) }), unix.EACCES)
}

func noLinks(t *testing.T, dir string) {
	put(t, dir+"/f", "data")
	wants(t, "symlink", os.Symlink("f", dir+"/s"), unix.EOPNOTSUPP)
	wants(t, "link", os.Link(dir+"/f", dir+"/g"), unix.EOPNOTSUPP)
	wants(t, "mknod", unix.Mkfifo(dir+"/p", 0o600), unix.EOPNOTSUPP)
	wants(t, "setgid", unix.Chmod(dir, 0o2755), unix.EOPNOTSUPP)
}
