package mount_test

import (
	"testing"

	"github.com/csi-9p/csi-9p/test/lab"
)

// TestTorture does seeded random operations on files and directories, in a
// child that checks every step against a model. A failure names its seed and
// the operations that led to it; the same seed does the same again.
func TestTorture(t *testing.T) {
	forServers(t, func(t *testing.T, server *lab.Server) {
		for name, options := range map[string][]string{"close-to-open": nil, "none": {"cache=none"}} {
			t.Run(name, func(t *testing.T) {
				mount := lab.MountShare(t, server.URL, options...)
				for _, seed := range []string{"1", "2", "3"} {
					child(t, "torture", mount.Dir+"/"+name+seed, seed, "1500", name)
				}
			})
		}
	})
}
