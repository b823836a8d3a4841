package doctor

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/csi-9p/csi-9p/transport/dial"
)

// PCI ids of a virtio-9p device (virtio 1.2, 4.1.2: the vendor, 0x1040 plus the device's type 9; the transitional id is QEMU's).
const (
	virtioVendor       = "0x1af4"
	virtio9P           = "0x1049"
	virtio9PTransition = "0x1009"
)

// virtioDevice is a virtio-9p device on the PCI bus.
type virtioDevice struct {
	address string // 0000:00:05.0
	tag     string // empty: not known, as the kernel's driver, which tells it, is not bound
	driver  string // of the PCI device; empty: none
}

// virtioDevices finds them in sysfs. The tag is an attribute that the kernel's client gives a device which it holds
// (net/9p/trans_virtio.c, p9_mount_tag_show).
func (m *Machine) virtioDevices() []virtioDevice {
	var found []virtioDevice
	for _, dir := range m.glob("sys/bus/pci/devices/*") {
		vendor, _ := m.read(dir + "/vendor")
		device, _ := m.read(dir + "/device")
		if vendor != virtioVendor || device != virtio9P && device != virtio9PTransition {
			continue
		}
		d := virtioDevice{address: path.Base(dir)}
		if driver, err := fs.ReadLink(m.Files, dir+"/driver"); err == nil {
			d.driver = path.Base(driver)
		}
		for _, file := range m.glob(dir + "/virtio*/mount_tag") {
			d.tag, _ = m.read(file)
		}
		found = append(found, d)
	}
	return found
}

func (d virtioDevice) String() string {
	tag, driver := d.tag, d.driver
	if tag == "" {
		tag = "tag not known"
	}
	if driver == "" {
		driver = "no driver"
	}
	return fmt.Sprintf("%s at %s (%s)", tag, d.address, driver)
}

// checkVirtio lists the devices, and looks for the one that is asked for.
func checkVirtio(m *Machine, n need) Check {
	c := Check{Name: "virtio-9p devices", Status: n.lacking(dial.Virtio)}
	devices := m.virtioDevices()
	if len(devices) == 0 {
		c.Found = "none"
		c.Cure = "for virtio://, give the VM one: -fsdev local,id=fs0,path=DIR,security_model=none,multidevs=remap -device virtio-9p-pci,fsdev=fs0,mount_tag=TAG"
		return c
	}
	var names []string
	known, hidden := false, false
	for _, d := range devices {
		names = append(names, d.String())
		known = known || d.tag == n.tag
		hidden = hidden || d.tag == ""
	}
	c.Found = strings.Join(names, ", ")
	switch {
	case n.tag == "" || known:
		c.Status = OK
	case hidden:
		c.Status, c.Cure = Warn, fmt.Sprintf("whether one is %s is known once it is opened", n.tag)
	default:
		c.Cure = fmt.Sprintf("no device has the mount tag %s: take one of these, or give the VM one", n.tag)
	}
	return c
}
