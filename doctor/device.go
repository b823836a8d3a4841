package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/virtio/pci"
)

// checkDevice takes the device, has it reach as much memory as the mounter's sessions have, and gives it back.
func (s *server) checkDevice(ctx context.Context) Check {
	if s.url.Scheme != dial.Virtio {
		return Check{}
	}
	c := Check{Name: "device", Status: OK}
	var memory transport.Memory
	start := time.Now()
	conn, err := s.machine.Dial(ctx, s.url, dial.Options{Memory: &memory, AllowUnsafeDMA: s.options.AllowUnsafeDMA})
	if err != nil {
		c.Status, c.Found, c.Cure = Fail, err.Error(), deviceCure(err)
		return c
	}
	took := time.Since(start)
	arena, err := mounter.NewArena(&memory)
	if err == nil {
		_, limit := arena.Usage()
		c.Found = fmt.Sprintf("taken in %v, and has %d MiB for payload within reach", took.Round(time.Millisecond), limit>>20)
	} else {
		c.Status, c.Found, c.Cure = Fail, err.Error(), deviceCure(err)
	}
	if !hangUp(conn) {
		c.Status, c.Found = Fail, "it does not confirm that it lets go of memory"
		c.Cure = "see the log of QEMU on the host; restart the VM"
		return c
	}
	if err == nil {
		_ = arena.Close() // never fails without slots in use
	}
	return c
}

// deviceCure says what to do about a device that cannot be had.
func deviceCure(err error) string {
	switch {
	case errors.Is(err, pci.ErrInUse):
		return inUseCure
	case errors.Is(err, pci.ErrUnsafeDMA):
		return "give the VM an IOMMU, or --allow-unsafe-dma"
	}
	return "the text says what to do; docs/troubleshooting.md has more on each"
}

// checkGivenBack tells of a device that is not with the driver that it was with. What an owner that crashed had taken goes back to
// the kernel's.
func checkGivenBack(m *Machine, n need) Check {
	c := Check{Name: "given back", Status: OK}
	now := m.device(n.tag)
	if now == nil {
		c.Status, c.Found, c.Cure = Warn, fmt.Sprintf("the device %s is gone", n.tag), "was it unplugged? see the kernel's log (dmesg)"
		return c
	}
	c.Found = "the device is with " + cmp.Or(now.Driver, "no driver")
	if now.Driver != n.device.Driver && now.Driver != "virtio-pci" {
		c.Status, c.Found = Warn, c.Found+", and was with "+cmp.Or(n.device.Driver, "none")
		c.Cure = "whoever drives it next takes it from there; docs/virtio.md has how to give it back by hand"
	}
	return c
}
