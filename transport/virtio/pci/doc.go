// Package pci finds a virtio-9p PCI device by its mount tag, takes it over from
// the kernel and makes it drivable from user space: registers, memory that the
// device can reach, interrupts. What travels on its queue is the business of
// package virtio.
//
// Two kernel drivers lend the device. Behind an IOMMU it is vfio-pci, by the
// group ABI (/dev/vfio/vfio and /dev/vfio/GROUP; iommufd and its device files
// are not used): the device reaches the memory mapped for it and nothing else.
// Without one it is uio_pci_generic, with physical addresses of 2 MiB pages: the
// device, and whoever writes to its ring, could then reach all memory, so this
// way is taken only where Options.AllowUnsafeDMA says so. VFIO's no-IOMMU mode is
// not used: it is the same without the kernel's support being common.
//
// A device has one owner. Open refuses one that the kernel's 9p client has
// mounted or that another process drives. On every way out the device is reset
// first, and its memory is freed only once the reset is confirmed; then the
// driver that it had before gets it back. What a crashed owner left, bound
// drivers, pages, a running device, the next one finds and clears away in the
// same order.
//
// The rules of the device are those of virtio 1.2, section 4.1 "Virtio Over PCI
// Bus"; sections are named where they apply.
package pci
