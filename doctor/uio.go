package doctor

import (
	"fmt"
	"strconv"
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

// fewHugePages is what a session through uio needs at least: its ring and the messages in flight.
const fewHugePages = 48

// checkHugePages looks for pages of 2 MiB, which a device without an IOMMU needs.
func checkHugePages(m *Machine, _ need) Check {
	c := Check{Name: "huge pages", Status: OK}
	free := m.hugePages("free_hugepages")
	c.Found = fmt.Sprintf("%d of %d pages of 2 MiB are free", free, m.hugePages("nr_hugepages"))
	if free < fewHugePages {
		c.Status, c.Cure = Warn, "for virtio:// through uio: sysctl vm.nr_hugepages=64 on the node, and hugepages-2Mi: 128Mi among the mounter's resources"
	}
	return c
}

func (m *Machine) hugePages(file string) int {
	text, _ := m.read(hugePagesDir + "/" + file)
	n, _ := strconv.Atoi(text) // without such pages there are none
	return n
}
