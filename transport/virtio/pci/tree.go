package pci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// tree is the kernel's files: /sys, /proc and /dev, under a root that is "/"
// but in tests.
type tree struct {
	root string
	// These are set in tests. They stand in for the kernel after a write, and
	// for a device whose status register was written with 0.
	wrote func(path, value string)
	reset func(address string)
}

// path returns where a file of the kernel is.
func (t tree) path(elem ...string) string {
	return filepath.Join(append([]string{t.root}, elem...)...)
}

// function returns the path of a PCI function's directory, or of a file in it.
func (t tree) function(address string, elem ...string) string {
	return t.path(append([]string{"sys/bus/pci/devices", address}, elem...)...)
}

// attribute reads a small file, without the white space and NULs at its end.
func attribute(path string) (string, error) {
	b, err := os.ReadFile(path)
	return strings.TrimRight(string(b), " \t\n\x00"), err
}

// write gives a value to an attribute in one write.
func (t tree) write(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return readOnly(err)
	}
	defer f.Close()
	if _, err := f.WriteString(value); err != nil {
		return fmt.Errorf("writing %q: %w", strings.TrimSpace(value), err)
	}
	if t.wrote != nil {
		t.wrote(path, value)
	}
	return nil
}

// readOnly says what to do where sysfs does not take writes.
func readOnly(err error) error {
	if errors.Is(err, unix.EROFS) {
		return fmt.Errorf("%w: changing a device's driver needs a writable /sys, which a container has if it is privileged", err)
	}
	return err
}

// link returns the last element of what a link points to; "" where there is none.
func link(path string) (string, error) {
	target, err := os.Readlink(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return filepath.Base(target), err
}

// driver returns the driver that a function is bound to; "" for none.
func (t tree) driver(address string) (string, error) { return link(t.function(address, "driver")) }

// group returns a function's IOMMU group; "" where no IOMMU stands before it.
func (t tree) group(address string) (string, error) { return link(t.function(address, "iommu_group")) }

// openConfig opens a function's config space.
func (t tree) openConfig(address string) (*os.File, error) {
	return os.OpenFile(t.function(address, "config"), os.O_RDWR|unix.O_CLOEXEC|unix.O_SYNC, 0)
}

// bars reads the regions of a function from its resource file, which has a line
// of first address, last address and flags for each (pci-sysfs.c, resource_show).
func (t tree) bars(address string) ([6]bar, error) {
	var bars [6]bar
	text, err := attribute(t.function(address, "resource"))
	if err != nil {
		return bars, err
	}
	const isIO, isMemory = 0x100, 0x200 // IORESOURCE_IO, IORESOURCE_MEM: include/linux/ioport.h
	lines := strings.Split(text, "\n")
	for i := range min(len(bars), len(lines)) {
		var v [3]uint64
		fields := strings.Fields(lines[i])
		if len(fields) != len(v) {
			return bars, fmt.Errorf("%s: line %d is no region", address, i+1)
		}
		for j := range v {
			if v[j], err = strconv.ParseUint(fields[j], 0, 64); err != nil {
				return bars, fmt.Errorf("%s: line %d is no region: %w", address, i+1, err)
			}
		}
		if v[2]&(isIO|isMemory) != 0 && v[1] > v[0] {
			bars[i] = bar{size: v[1] - v[0] + 1, io: v[2]&isIO != 0}
		}
	}
	return bars, nil
}
