package mount_test

import (
	"testing"

	"github.com/csi-9p/csi-9p/test/lab"
)

// TestTorture does seeded random operations on files and directories, in a
// child that checks every step against a model. A failure names its seed and
// the operations that led to it; the same seed does the same again.
func TestTorture(t *testing.T) {
	steps := "1500"
	if testing.Short() { // where processors are emulated
		steps = "200"
	}
	forServers(t, func(t *testing.T, server *lab.Server) {
		for _, c := range []struct {
			cache, zeroCopy string
			seeds           []string
		}{{"close-to-open", "auto", []string{"1", "2", "3"}}, {"none", "auto", []string{"4"}}, {"none", "off", []string{"5"}}, {"loose", "auto", []string{"6", "7"}}} {
			t.Run(c.cache+"/zeroCopy="+c.zeroCopy, func(t *testing.T) {
				mount := lab.Mount(t, server.URL, "cache="+c.cache+",zeroCopy="+c.zeroCopy)
				for _, seed := range c.seeds {
					child(t, "torture", mount.Dir+"/"+seed, seed, steps, c.cache, server.Name)
				}
			})
		}
	})
}
