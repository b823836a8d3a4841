package pci

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The ioctls of VFIO's containers, groups and devices, and what they exchange,
// as of include/uapi/linux/vfio.h of Linux 6.1. They are the same in all kernels
// since 3.6 that have them; chains of capabilities came with 4.6.

const vfioBase = ';'<<8 | 100 // _IO(VFIO_TYPE, VFIO_BASE + n)

const (
	vfioGetAPIVersion     = vfioBase + 0
	vfioCheckExtension    = vfioBase + 1
	vfioSetIOMMU          = vfioBase + 2
	vfioGroupGetStatus    = vfioBase + 3
	vfioGroupSetContainer = vfioBase + 4
	vfioGroupGetDeviceFD  = vfioBase + 6
	vfioGetRegionInfo     = vfioBase + 8
	vfioGetIRQInfo        = vfioBase + 9
	vfioSetIRQs           = vfioBase + 10
	vfioIOMMUGetInfo      = vfioBase + 12
	vfioIOMMUMapDMA       = vfioBase + 13
	vfioIOMMUUnmapDMA     = vfioBase + 14

	vfioType1v2      = 3 // VFIO_TYPE1v2_IOMMU
	vfioGroupViable  = 1 << 0
	vfioRegionMmap   = 1 << 2
	vfioInfoCaps     = 1 << 1 // VFIO_IOMMU_INFO_CAPS
	vfioCapIOVARange = 1
	vfioMapRead      = 1 << 0
	vfioMapWrite     = 1 << 1
	vfioIRQEventfd   = 1 << 2 // VFIO_IRQ_SET_DATA_EVENTFD
	vfioIRQTrigger   = 1 << 5 // VFIO_IRQ_SET_ACTION_TRIGGER

	vfioConfigRegion = 7 // VFIO_PCI_CONFIG_REGION_INDEX; 0 to 5 are the BARs
	vfioMSIX         = 2 // VFIO_PCI_MSIX_IRQ_INDEX
	vfioLeave        = 4 // VFIO_PCI_REQ_IRQ_INDEX
)

// vfioStatus is struct vfio_group_status.
type vfioStatus struct{ argsz, flags uint32 }

// vfioRegion is struct vfio_region_info.
type vfioRegion struct {
	argsz, flags, index, capOffset uint32
	size, offset                   uint64
}

// vfioIRQ is struct vfio_irq_info.
type vfioIRQ struct{ argsz, _, index, count uint32 }

// vfioEventfds is struct vfio_irq_set with as many eventfds as the device has uses for.
type vfioEventfds struct {
	argsz, flags, index, start, count uint32
	fds                               [2]int32
}

// Offsets in struct vfio_iommu_type1_info, which capabilities follow.
const (
	vfioIOMMUFlags     = 4
	vfioIOMMUCapOffset = 16
	vfioIOMMUSize      = 24
)

// vfioMap is struct vfio_iommu_type1_dma_map.
type vfioMap struct {
	argsz, flags       uint32
	address, iova, len uint64
}

// vfioUnmap is struct vfio_iommu_type1_dma_unmap.
type vfioUnmap struct {
	argsz, _  uint32
	iova, len uint64
}

// ioctl calls ioctl(2) with a number for an argument.
func ioctl(fd int, request, arg uintptr) (int, error) {
	r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, arg)
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// ioctlStruct calls ioctl(2) with a pointer to what the request exchanges.
func ioctlStruct[T any](fd int, request uintptr, arg *T) (int, error) {
	r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(arg)))
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// ioctlBytes calls ioctl(2) with the address of bytes.
func ioctlBytes(fd int, request uintptr, p []byte) (int, error) {
	return ioctlStruct(fd, request, unsafe.SliceData(p))
}

// addressOf is where memory outside the Go heap lies, for the kernel to be told.
func addressOf(p []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p)))) }
