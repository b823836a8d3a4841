// Package mount_test runs real work on mounts made by the real csi-9p binary,
// of the project's exporter and of Debian's diod. What maps files, or may wait
// for a server, runs in child processes.
package mount_test

import (
	"os"
	"testing"

	"github.com/csi-9p/csi-9p/test/lab"
)

func TestMain(m *testing.M) {
	lab.Main(m, map[string]lab.Work{
		"torture":  torture,
		"ledger":   keepLedger,
		"lock":     lockFile,
		"map":      mapFile,
		"dirty":    dirtyPages,
		"unsynced": unsynced,
		"read":     readForever,
		"write":    writeForever,
		"rewrite":  writeForever,
	})
}

// forServers runs a test on an empty directory exported by each server, or on
// the share that the run was given.
func forServers(t *testing.T, test func(t *testing.T, server *lab.Server)) {
	t.Helper()
	if given := lab.GivenServer(); given != nil {
		t.Run(given.Name, func(t *testing.T) { test(t, given) })
		return
	}
	t.Run("exporter", func(t *testing.T) { test(t, lab.Exporter(t, lab.Dir(t))) })
	t.Run("diod", func(t *testing.T) { test(t, lab.Diod(t, lab.Dir(t))) })
}

// byPath tells of servers that go by the path of a file that is open: of one without a name they can't change the attributes.
func byPath(server string) bool { return server == "diod" || server == "virtio" }

// forMounts runs a test on a mount of each server in each cache mode, and on
// one where the server checks permissions.
func forMounts(t *testing.T, test func(t *testing.T, x site)) {
	t.Helper()
	forServers(t, func(t *testing.T, server *lab.Server) {
		inCacheModes(t, server, test)
		if server.Name != "diod" { // which serves the one user that it runs as
			onMount(t, server, "user", "close-to-open", test, "access=user")
		}
	})
}

// forCacheModes runs a test on a mount of each server in each cache mode.
func forCacheModes(t *testing.T, test func(t *testing.T, x site)) {
	t.Helper()
	forServers(t, func(t *testing.T, server *lab.Server) { inCacheModes(t, server, test) })
}

func inCacheModes(t *testing.T, server *lab.Server, test func(t *testing.T, x site)) {
	t.Helper()
	for _, cache := range []string{"close-to-open", "none", "loose"} {
		onMount(t, server, cache, cache, test, "cache="+cache)
	}
}

// onMount runs a test of that name in a new directory of a new mount.
func onMount(t *testing.T, server *lab.Server, name, cache string, test func(t *testing.T, x site), options ...string) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		x := site{dir: lab.Mount(t, server.URL, options...).Dir, host: server.Root, server: server.Name, cache: cache}
		test(t, x.below(t, name))
	})
}

// site is where a test works.
type site struct {
	dir    string // empty, on the mount
	host   string // the same directory on the server
	server string // its name
	cache  string // how it is mounted
}

// below is a site in a new directory.
func (x site) below(t *testing.T, name string) site {
	t.Helper()
	x.dir, x.host = x.dir+"/"+name, x.host+"/"+name
	must(t, os.Mkdir(x.dir, 0o755))
	return x
}
