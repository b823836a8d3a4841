package doctor

import "fmt"

// iommuGroups are the sets of devices that an IOMMU tells apart.
const iommuGroups = "sys/kernel/iommu_groups/*"

// vfioModule is the driver that lends a device that is behind an IOMMU.
const vfioModule = "vfio_pci"

// checkIOMMU looks for an IOMMU, without which a device reaches all of the memory.
func checkIOMMU(m *Machine, n need) Check {
	if !n.vfio() && !n.uio() {
		return Check{}
	}
	c := Check{Name: "IOMMU", Status: OK}
	groups := m.glob(iommuGroups)
	switch {
	case !n.uio():
		c.Found = "stands before the device"
	case len(groups) == 0:
		c.Status, c.Found = Warn, "none"
		c.Cure = "for virtio:// through vfio: QEMU's -device intel-iommu,intremap=on, iommu_platform=on of the virtio device, intel_iommu=on of the guest's kernel"
	case n.device != nil:
		c.Status, c.Found = Warn, fmt.Sprintf("%d groups, the device is in none", len(groups))
		c.Cure = "put the device where the VM's IOMMU covers it, with iommu_platform=on"
	default:
		c.Found = fmt.Sprintf("%d groups", len(groups))
	}
	return c
}

// checkVFIO looks for vfio-pci, the safe way to a device.
func checkVFIO(m *Machine, n need) Check {
	if !n.vfio() {
		return Check{}
	}
	state := m.module(vfioModule)
	c := Check{Name: "vfio", Status: OK, Found: fmt.Sprintf("%s is %s", vfioModule, state)}
	switch {
	case state != loaded:
		c.Status, c.Cure = n.missing(), modprobe(state, vfioModule, "vfio_iommu_type1")
	case !m.exists("dev/vfio/vfio"):
		c.Status, c.Found, c.Cure = n.missing(), "there is no /dev/vfio/vfio", "give the container /dev/vfio, "+modprobe(available, "vfio_iommu_type1")
	}
	return c
}
