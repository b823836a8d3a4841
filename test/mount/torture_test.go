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
		for cache, seeds := range map[string][]string{"close-to-open": {"1", "2", "3"}, "none": {"4"}} {
			t.Run(cache, func(t *testing.T) {
				mount := lab.Mount(t, server.URL, "cache="+cache)
				for _, seed := range seeds {
					child(t, "torture", mount.Dir+"/"+seed, seed, "1500", cache, server.Name)
				}
			})
		}
	})
}
