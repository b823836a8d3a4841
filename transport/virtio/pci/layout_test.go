package pci

import (
	"testing"
	"unsafe"
)

// TestLayoutOfVFIO holds what is exchanged with the kernel against the sizes and
// offsets of include/uapi/linux/vfio.h (Linux 6.1, x86-64 and arm64).
func TestLayoutOfVFIO(t *testing.T) {
	var (
		region  vfioRegion
		irq     vfioIRQ
		events  vfioEventfds
		mapping vfioMap
		unmap   vfioUnmap
	)
	for _, c := range []struct {
		what      string
		got, want uintptr
	}{
		{"sizeof vfio_group_status", unsafe.Sizeof(vfioStatus{}), 8},
		{"sizeof vfio_region_info", unsafe.Sizeof(region), 32},
		{"vfio_region_info.index", unsafe.Offsetof(region.index), 8},
		{"vfio_region_info.cap_offset", unsafe.Offsetof(region.capOffset), 12},
		{"vfio_region_info.size", unsafe.Offsetof(region.size), 16},
		{"vfio_region_info.offset", unsafe.Offsetof(region.offset), 24},
		{"sizeof vfio_irq_info", unsafe.Sizeof(irq), 16},
		{"vfio_irq_info.count", unsafe.Offsetof(irq.count), 12},
		{"vfio_irq_set.index", unsafe.Offsetof(events.index), 8},
		{"vfio_irq_set.start", unsafe.Offsetof(events.start), 12},
		{"vfio_irq_set.count", unsafe.Offsetof(events.count), 16},
		{"vfio_irq_set.data", unsafe.Offsetof(events.fds), 20},
		{"sizeof vfio_iommu_type1_dma_map", unsafe.Sizeof(mapping), 32},
		{"vfio_iommu_type1_dma_map.vaddr", unsafe.Offsetof(mapping.address), 8},
		{"vfio_iommu_type1_dma_map.iova", unsafe.Offsetof(mapping.iova), 16},
		{"vfio_iommu_type1_dma_map.size", unsafe.Offsetof(mapping.len), 24},
		{"sizeof vfio_iommu_type1_dma_unmap", unsafe.Sizeof(unmap), 24},
		{"vfio_iommu_type1_dma_unmap.iova", unsafe.Offsetof(unmap.iova), 8},
		{"VFIO_GET_API_VERSION", vfioGetAPIVersion, 0x3b64},
		{"VFIO_CHECK_EXTENSION", vfioCheckExtension, 0x3b65},
		{"VFIO_SET_IOMMU", vfioSetIOMMU, 0x3b66},
		{"VFIO_GROUP_GET_STATUS", vfioGroupGetStatus, 0x3b67},
		{"VFIO_GROUP_SET_CONTAINER", vfioGroupSetContainer, 0x3b68},
		{"VFIO_GROUP_GET_DEVICE_FD", vfioGroupGetDeviceFD, 0x3b6a},
		{"VFIO_DEVICE_GET_REGION_INFO", vfioGetRegionInfo, 0x3b6c},
		{"VFIO_DEVICE_GET_IRQ_INFO", vfioGetIRQInfo, 0x3b6d},
		{"VFIO_DEVICE_SET_IRQS", vfioSetIRQs, 0x3b6e},
		{"VFIO_IOMMU_GET_INFO", vfioIOMMUGetInfo, 0x3b70},
		{"VFIO_IOMMU_MAP_DMA", vfioIOMMUMapDMA, 0x3b71},
		{"VFIO_IOMMU_UNMAP_DMA", vfioIOMMUUnmapDMA, 0x3b72},
	} {
		if c.got != c.want {
			t.Errorf("%s is %#x, want %#x", c.what, c.got, c.want)
		}
	}
}
