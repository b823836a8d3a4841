package fuse_test

import (
	"testing"

	"github.com/csi-9p/csi-9p/node/fuse"
)

// What the kernel offers to the probe, which mounts nothing, is what it offers to a mount.
func TestProbe(t *testing.T) {
	offer, err := fuse.Probe()
	if err != nil {
		t.Fatal(err)
	}
	if err := offer.Check(); err != nil {
		t.Error(err)
	}
	m := mount(t, newMemFS(t, fuse.IOURingOff), fuse.Config{})
	init := m.conn.Init()
	if offer.Flags != init.Offered() || offer.Minor != init.In.Minor {
		t.Errorf("the probe is offered 7.%d %#x, a mount 7.%d %#x", offer.Minor, offer.Flags, init.In.Minor, init.Offered())
	}
}
