package doctor

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/virtio/pci"
)

// device is the one with a mount tag; nil: there is none, or checkVirtio tells what is wrong.
func (m *Machine) device(tag string) *pci.Function {
	devices, _ := m.Virtio()
	for i := range devices {
		if devices[i].Tag == tag {
			return &devices[i]
		}
	}
	return nil
}

// describe says of a device what its owner wants to know.
func describe(d pci.Function) string {
	facts := []string{cmp.Or(d.Driver, "no driver")}
	if d.Group != "" {
		facts = append(facts, "IOMMU group "+d.Group)
	}
	if d.Legacy {
		facts = append(facts, "legacy")
	}
	if d.InUse != nil {
		facts = append(facts, d.InUse.Error())
	}
	if d.TagErr != nil {
		facts = append(facts, d.TagErr.Error())
	}
	return fmt.Sprintf("%s at %s (%s)", cmp.Or(d.Tag, "tag not known"), d.Address, strings.Join(facts, ", "))
}

// checkVirtio lists the devices, and looks for the one that is asked for.
func checkVirtio(m *Machine, n need) Check {
	c := Check{Name: "virtio-9p devices", Status: n.lacking(dial.Virtio)}
	devices, err := m.Virtio()
	switch {
	case err != nil:
		c.Found, c.Cure = err.Error(), "run it as root, with /sys as the node has it"
		return c
	case len(devices) == 0 && n.unseen:
		c.Found, c.Cure = "there is no /sys to see them in", "mount /sys where it runs; a container has it"
		return c
	case len(devices) == 0:
		c.Found = "none"
		c.Cure = "for virtio://, give the VM one: -fsdev local,id=fs0,path=DIR,security_model=none,multidevs=remap -device virtio-9p-pci,fsdev=fs0,mount_tag=TAG,disable-legacy=on"
		return c
	case n.tag != "":
		return wanted(c, devices, n.tag)
	}
	var all []string
	for _, d := range devices {
		all = append(all, describe(d))
	}
	c.Status, c.Found = OK, strings.Join(all, "; ")
	return c
}

// wanted tells whether the device with a tag can be had.
func wanted(c Check, devices []pci.Function, tag string) Check {
	var have, others []string
	unread := false // one of the others may be it
	c.Status = OK
	for _, d := range devices {
		if d.Tag != tag {
			others = append(others, describe(d))
			unread = unread || d.TagErr != nil
			continue
		}
		have = append(have, describe(d))
		switch {
		case d.Legacy:
			c.Status, c.Cure = Fail, "give the device disable-legacy=on, or disable-modern=off: its legacy interface is not spoken"
		case d.InUse != nil:
			c.Status, c.Cure = Fail, inUseCure
		}
	}
	c.Found = strings.Join(have, "; ")
	switch {
	case len(have) == 0 && unread:
		c.Status, c.Found = Fail, strings.Join(others, "; ")
		c.Cure = fmt.Sprintf("whether one has the mount tag %s is not seen: run it as root, with CAP_SYS_ADMIN and a writable /sys", tag)
	case len(have) == 0:
		c.Status, c.Found = Fail, strings.Join(others, "; ")
		c.Cure = fmt.Sprintf("no device has the mount tag %s: take one of these, or give the VM one", tag)
	case len(have) > 1:
		c.Status, c.Cure = Fail, "give each a mount_tag of its own"
	}
	return c
}

// inUseCure is what to do about a device that somebody has.
const inUseCure = "a device has one owner: unmount it where the kernel has it; where a mounter has it, its volumes share the session, and nobody else needs the device"

// checkAccess tells which way a program can drive a device: the one that is asked for, or any.
func checkAccess(m *Machine, n need) Check {
	c := Check{Name: "device access", Status: OK}
	vfio, uio := n.vfio(), n.uio()
	if !vfio && !uio {
		return Check{}
	}
	if n.device == nil { // what the way of a device needs has checks of its own
		vfio = m.module(vfioModule).usable() && len(m.glob(iommuGroups)) > 0
		uio = m.module(uioModule).usable() && m.hugePages("nr_hugepages") >= fewHugePages
	}
	switch {
	case vfio:
		c.Found = "through vfio: the device reaches what it is given"
	case uio:
		c.Status, c.Found = n.lacking(dial.Virtio), "through uio alone: nothing bounds the memory that the device reaches"
		if c.Cure = "--allow-unsafe-dma allows it; an IOMMU mends it: docs/virtio.md"; n.unsafeDMA {
			c.Status, c.Cure = Warn, "an IOMMU mends it: docs/virtio.md"
		}
	default:
		c.Status, c.Found = Warn, "neither through vfio nor through uio"
		c.Cure = fmt.Sprintf("for virtio://, give the VM an IOMMU and load vfio-pci, or load %s and reserve %d huge pages", uioModule, fewHugePages)
	}
	return c
}
