package doctor

import (
	"fmt"
	"strconv"

	"github.com/csi-9p/csi-9p/transport/dial"
)

const uioModule = "uio_pci_generic"

// checkUIO looks for uio_pci_generic, the way to a device where there is no IOMMU.
func checkUIO(m *Machine, _ need) Check {
	c := Check{Name: "uio", Status: OK}
	generic := m.module(uioModule)
	c.Found = fmt.Sprintf("%s is %s", uioModule, generic)
	if generic != loaded {
		c.Status, c.Cure = Warn, modprobe(generic, uioModule)
	}
	return c
}

// hugePagesDir is where the kernel tells of its pages of 2 MiB (Documentation/admin-guide/mm/hugetlbpage.rst).
const hugePagesDir = "sys/kernel/mm/hugepages/hugepages-2048kB"

// fewHugePages is what a session through uio needs at least: room for the messages in flight.
const fewHugePages = 8

// checkHugePages looks for pages of 2 MiB, which a device without an IOMMU needs.
func checkHugePages(m *Machine, _ need) Check {
	c := Check{Name: "huge pages", Status: OK}
	free := m.hugePages("free_hugepages")
	c.Found = fmt.Sprintf("%d of %d pages of 2 MiB are free", free, m.hugePages("nr_hugepages"))
	if free < fewHugePages {
		c.Status, c.Cure = Warn, "for virtio:// through uio: sysctl vm.nr_hugepages=64 on the node, and resources.limits hugepages-2Mi of the pod"
	}
	return c
}

func (m *Machine) hugePages(file string) int {
	text, _ := m.read(hugePagesDir + "/" + file)
	n, _ := strconv.Atoi(text) // without such pages there are none
	return n
}

// checkAccess tells which way a program can drive a device.
func checkAccess(m *Machine, n need) Check {
	c := Check{Name: "device access", Status: OK}
	switch {
	case m.hasVFIO():
		c.Found = "through vfio: the device reaches what it is given"
	case m.module(uioModule).usable() && m.hugePages("nr_hugepages") > 0:
		c.Status, c.Found = Warn, "through uio alone: nothing bounds the memory that the device reaches"
		c.Cure = "--allow-unsafe-dma allows it; an IOMMU mends it"
	default:
		c.Status, c.Found = n.lacking(dial.Virtio), "neither through vfio nor through uio"
		c.Cure = "for virtio://, give the VM an IOMMU and load vfio_pci, or load uio_pci_generic and reserve huge pages"
	}
	return c
}
