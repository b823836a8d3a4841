package kernel

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// Lines of Debian's 6.1 and 6.12.
const (
	dep = `kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko kernel/fs/netfs/netfs.ko
kernel/net/9p/9pnet.ko: kernel/fs/netfs/netfs.ko
kernel/fs/netfs/netfs.ko:
kernel/net/9p/9pnet_virtio.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko kernel/net/9p/9pnet.ko
kernel/drivers/virtio/virtio.ko:
kernel/drivers/virtio/virtio_ring.ko: kernel/drivers/virtio/virtio.ko
kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko.xz
kernel/drivers/vfio/vfio.ko.xz:
`
	builtin = "kernel/drivers/char/virtio_console.ko\nkernel/fs/fuse/fuse.ko\n"
)

func TestEachModuleComesAfterWhatItNeeds(t *testing.T) {
	m, err := readModules(strings.NewReader(dep), strings.NewReader(builtin))
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"9p", "9pnet_virtio", "vfio_pci", "virtio-console", "fuse"}
	order, err := m.Order(names...)
	if err != nil {
		t.Fatal(err)
	}
	if len(order) != 8 {
		t.Errorf("%d files, want the 8 that are listed, each once: %q", len(order), order)
	}
	for i, file := range order {
		for _, need := range m.needs[file] {
			if at := slices.Index(order, need); at < 0 || at > i {
				t.Errorf("%s is before %s, which it needs: %q", file, need, order)
			}
		}
	}
}

func TestModuleThatIsMissing(t *testing.T) {
	m, err := readModules(strings.NewReader(dep), strings.NewReader(builtin))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Order("9p", "vsock_loopback"); !errors.Is(err, ErrNoModule) || !strings.Contains(err.Error(), "vsock_loopback") {
		t.Errorf("%v, want one that names vsock_loopback", err)
	}
}

func TestModulesDepThatIsNone(t *testing.T) {
	if _, err := readModules(strings.NewReader("kernel/fs/9p/9p.ko\n"), strings.NewReader("")); err == nil {
		t.Error("a line without a colon is taken")
	}
}
