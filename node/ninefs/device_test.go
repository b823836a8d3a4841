package ninefs_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/csi-9p/csi-9p/node/ninefs"
)

// TestDeviceCopiesNothing: what programs write goes from the slot that the kernel put it in to the device, and what they read from the
// device to the slot that the kernel takes it from, none of it through a buffer in between.
func TestDeviceCopiesNothing(t *testing.T) {
	noLeak(t)
	s := device(t)
	m := mount(t, s, func(o *ninefs.Options) { o.Cache = ninefs.CacheNone })
	data := bytes.Repeat([]byte("0123456789abcdef"), 3<<16)
	check(t, os.WriteFile(m.path("f"), data, 0o600))
	if got, err := os.ReadFile(m.path("f")); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back of %d, or others: %v", len(got), len(data), err)
	}
	if got, err := os.ReadFile(s.root + "/f"); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the server has %d bytes of %d, or others: %v", len(got), len(data), err)
	}
	sent, received := m.meter.Paths()
	if sent.Placed != uint64(len(data)) || sent.Transport+sent.Small+sent.Off != 0 {
		t.Errorf("sent: %+v", sent)
	}
	if received.Placed != uint64(len(data)) || received.Transport+received.Small+received.Off != 0 {
		t.Errorf("received: %+v", received)
	}
}
