// Package mount_test runs real work on mounts made by the real csi-9p binary,
// of the project's exporter and of Debian's diod. What maps files, or may wait
// for a server, runs in child processes.
package mount_test

import (
	"testing"

	"github.com/csi-9p/csi-9p/test/lab"
)

func TestMain(m *testing.M) {
	lab.Main(m, map[string]lab.Work{
		"torture": torture,
		"ledger":  keepLedger,
		"lock":    lockFile,
		"map":     mapFile,
		"dirty":   dirtyPages,
		"read":    readForever,
		"write":   writeForever,
		"rewrite": writeForever,
	})
}

// forServers runs a test on an empty directory exported by each server.
func forServers(t *testing.T, test func(t *testing.T, server *lab.Server)) {
	t.Helper()
	t.Run("exporter", func(t *testing.T) { test(t, lab.Exporter(t, lab.Dir(t))) })
	t.Run("diod", func(t *testing.T) { test(t, lab.Diod(t, lab.Dir(t))) })
}
