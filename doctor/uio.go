package doctor

import (
	"fmt"
	"strconv"

	"github.com/moby/sys/mountinfo"

	"github.com/csi-9p/csi-9p/transport/virtio/pci"
)

const uioModule = "uio_pci_generic"

// checkUIO looks for uio_pci_generic, the way to a device where there is no IOMMU.
func checkUIO(m *Machine, n need) Check {
	if !n.uio() {
		return Check{}
	}
	state := m.module(uioModule)
	c := Check{Name: "uio", Status: OK, Found: fmt.Sprintf("%s is %s", uioModule, state)}
	if state != loaded {
		c.Status, c.Cure = n.missing(), modprobe(state, uioModule)
	}
	return c
}

// hugePagesDir is where the kernel tells of its pages of 2 MiB (Documentation/admin-guide/mm/hugetlbpage.rst).
const hugePagesDir = "sys/kernel/mm/hugepages/hugepages-2048kB"

// fewHugePages is what a session through uio needs at least: its ring and the messages in flight.
const fewHugePages = 48

// checkHugePages looks for pages of 2 MiB, which a device without an IOMMU needs, and where they are mounted.
func checkHugePages(m *Machine, n need) Check {
	if !n.uio() {
		return Check{}
	}
	c := Check{Name: "huge pages", Status: OK}
	free, all := m.hugePages("free_hugepages"), m.hugePages("nr_hugepages")
	c.Found = fmt.Sprintf("%d of %d pages of 2 MiB are free", free, all)
	where := m.hugetlbfs()
	const more = "for virtio:// through uio: sysctl vm.nr_hugepages=64 on the node, and hugepages-2Mi: 128Mi among the mounter's resources"
	switch {
	case all < fewHugePages:
		c.Status, c.Cure = n.missing(), more
	case free < fewHugePages:
		c.Status, c.Cure = Warn, more+", unless an owner that crashed has them: the next one frees them"
	case where == "":
		c.Status, c.Found = n.missing(), c.Found+", and mounted nowhere"
		c.Cure = "mount -t hugetlbfs -o pagesize=2M none /dev/hugepages; a pod takes an emptyDir of medium HugePages-2Mi"
	default:
		c.Found += ", at " + where
	}
	return c
}

func (m *Machine) hugePages(file string) int {
	text, _ := m.read(hugePagesDir + "/" + file)
	n, _ := strconv.Atoi(text) // without such pages there are none
	return n
}

// hugetlbfs is where pages of 2 MiB are mounted; "": nowhere.
func (m *Machine) hugetlbfs() string {
	file, err := m.Files.Open("proc/self/mountinfo")
	if err != nil {
		return ""
	}
	defer file.Close()
	mounts, _ := mountinfo.GetMountsFromReader(file, pci.OtherThanHugePages)
	if len(mounts) == 0 {
		return ""
	}
	return mounts[0].Mountpoint
}
