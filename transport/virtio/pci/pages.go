package pci

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// allocPages returns zeroed memory of n bytes for a device behind an IOMMU:
// anonymous pages, huge ones where the system has them, so that the IOMMU has
// little to walk. A child process does not get them: what the device writes to
// must not be copied on a write.
func allocPages(n int) ([]byte, func() error, error) {
	length := roundUp(n, os.Getpagesize())
	reserved := length
	if length >= hugePage {
		reserved += hugePage // room to begin at a huge page
	}
	b, err := unix.Mmap(-1, 0, reserved, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, nil, fmt.Errorf("%d MiB of memory: %w", length>>20, err)
	}
	free := func() error { return unix.Munmap(b) }
	if err := unix.Madvise(b, unix.MADV_DONTFORK); err != nil {
		_ = free()
		return nil, nil, fmt.Errorf("keeping memory from child processes: %w", err)
	}
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // a kernel without huge pages has small ones
	start := 0
	if length >= hugePage {
		start = int(roundUp(addressOf(b), hugePage) - addressOf(b))
	}
	return b[start:][:n:n], free, nil
}
