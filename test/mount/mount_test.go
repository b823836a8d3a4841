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

// forMounts runs a test on a mount of each server in each cache mode.
func forMounts(t *testing.T, test func(t *testing.T, x site)) {
	t.Helper()
	forServers(t, func(t *testing.T, server *lab.Server) {
		for _, cache := range []string{"close-to-open", "none", "loose"} {
			t.Run(cache, func(t *testing.T) {
				x := site{dir: lab.Mount(t, server.URL, "cache="+cache).Dir, host: server.Root, server: server.Name, cache: cache}
				test(t, x.below(t, cache))
			})
		}
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
