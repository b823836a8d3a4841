package doctor

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/virtio/pci"
)

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
	case len(devices) == 0:
		c.Found = "none"
		c.Cure = "for virtio://, give the VM one: -fsdev local,id=fs0,path=DIR,security_model=none,multidevs=remap -device virtio-9p-pci,fsdev=fs0,mount_tag=TAG,disable-legacy=on"
		return c
	}
	var all []string
	for _, d := range devices {
		all = append(all, describe(d))
	}
	c.Status, c.Found = OK, strings.Join(all, "; ")
	if n.tag != "" {
		c.Status, c.Cure = wanted(devices, n.tag)
	}
	return c
}

// wanted tells whether the device with a tag can be had.
func wanted(devices []pci.Function, tag string) (Status, string) {
	for _, d := range devices {
		switch {
		case d.Tag != tag:
		case d.Legacy:
			return Fail, "give the device disable-legacy=on, or disable-modern=off: its legacy interface is not spoken"
		case d.InUse != nil:
			return Fail, "a device has one owner: unmount what the kernel has mounted, end the other process, or mount subdirectories in that one"
		default:
			return OK, ""
		}
	}
	return Fail, fmt.Sprintf("no device has the mount tag %s: take one of these, or give the VM one", tag)
}

// behindIOMMU tells whether an IOMMU stands before the device with the tag; without such a one, whether there is any.
func (m *Machine) behindIOMMU(tag string) bool {
	devices, _ := m.Virtio() // checkVirtio tells what is wrong
	for _, d := range devices {
		if d.Tag == tag {
			return d.Group != ""
		}
	}
	return len(m.glob(iommuGroups)) > 0
}

// checkAccess tells which way a program can drive a device.
func checkAccess(m *Machine, n need) Check {
	c := Check{Name: "device access", Status: OK}
	switch {
	case m.behindIOMMU(n.tag) && m.module("vfio_pci").usable():
		c.Found = "through vfio: the device reaches what it is given"
	case m.module(uioModule).usable() && m.hugePages("nr_hugepages") >= fewHugePages:
		c.Status, c.Found = n.lacking(dial.Virtio), "through uio alone: nothing bounds the memory that the device reaches"
		if c.Cure = "--allow-unsafe-dma allows it; an IOMMU mends it"; n.unsafeDMA {
			c.Status = Warn
		}
	default:
		c.Status, c.Found = n.lacking(dial.Virtio), "neither through vfio nor through uio"
		c.Cure = fmt.Sprintf("for virtio://, give the VM an IOMMU and load vfio_pci, or load %s and reserve %d huge pages", uioModule, fewHugePages)
	}
	return c
}
