package doctor

import "fmt"

// iommuGroups are the sets of devices that an IOMMU tells apart.
const iommuGroups = "sys/kernel/iommu_groups/*"

// checkIOMMU looks for an IOMMU, without which a device reaches all of the memory.
func checkIOMMU(m *Machine, _ need) Check {
	c := Check{Name: "IOMMU", Status: OK}
	groups := m.glob(iommuGroups)
	if len(groups) > 0 {
		c.Found = fmt.Sprintf("%d groups", len(groups))
		return c
	}
	c.Status, c.Found = Warn, "none"
	c.Cure = "for virtio:// through vfio: QEMU's -device intel-iommu,intremap=on, iommu_platform=on of the virtio device, intel_iommu=on of the guest's kernel"
	return c
}

// checkVFIO looks for vfio-pci, the safe way to a device.
func checkVFIO(m *Machine, _ need) Check {
	c := Check{Name: "vfio", Status: OK}
	pci := m.module("vfio_pci")
	c.Found = fmt.Sprintf("vfio_pci is %s", pci)
	switch {
	case pci != loaded:
		c.Status, c.Cure = Warn, modprobe(pci, "vfio_pci", "vfio_iommu_type1")
	case !m.exists("dev/vfio/vfio"):
		c.Status, c.Found, c.Cure = Warn, "there is no /dev/vfio/vfio", "give the container /dev/vfio, "+modprobe(available, "vfio_iommu_type1")
	}
	return c
}
