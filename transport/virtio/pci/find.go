package pci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Ids of a virtio-9p PCI function (virtio 1.2, 4.1.2: 0x1040 + 9 is modern,
// 0x1000 + 9 transitional).
const (
	vendorVirtio   = "0x1af4"
	idTransitional = "0x1009"
	idModern       = "0x1049"
)

// Errors of Find, for whoever has to tell them apart.
var (
	// ErrNotFound is wrapped where no device has the mount tag.
	ErrNotFound = errors.New("no virtio-9p device has that mount tag")
	// ErrInUse is wrapped where a device has another owner: the kernel's 9p
	// client or another process.
	ErrInUse = errors.New("in use")
	// ErrUnsafeDMA is wrapped where a device can only be driven without an
	// IOMMU and that was not allowed.
	ErrUnsafeDMA = errors.New("no IOMMU stands before it")
)

// A Function is a virtio-9p PCI function as it is found.
type Function struct {
	// Address is domain:bus:device.function, as in 0000:00:03.0.
	Address string
	// Tag is the mount tag; "" where it could not be read: TagErr says why.
	Tag    string
	TagErr error
	// Driver is the PCI driver that the function is bound to, "" for none:
	// virtio-pci for a device in the kernel's hands.
	Driver string
	// Group is the IOMMU group, "" where no IOMMU stands before the device.
	Group string
	// Legacy says that it has only the legacy interface, which Open does not
	// drive.
	Legacy bool
	// InUse is an error that wraps ErrInUse and says who has the device; nil
	// where nobody known has.
	InUse error
}

// List returns all virtio-9p functions of this machine, by address. It changes
// nothing and needs root to see more than the kernel's client shows.
func List(o Options) ([]Function, error) {
	o = o.withDefaults()
	t := o.tree
	entries, err := os.ReadDir(t.path("sys/bus/pci/devices"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a machine without PCI
	}
	if err != nil {
		return nil, fmt.Errorf("listing PCI devices: %w", err)
	}
	var all []Function
	for _, e := range entries {
		if t.isVirtio9P(e.Name()) {
			all = append(all, t.look(e.Name(), o.LockDir))
		}
	}
	slices.SortFunc(all, func(a, b Function) int { return strings.Compare(a.Address, b.Address) })
	return all, nil
}

// isVirtio9P reports whether a function is a virtio-9p device, by its ids.
func (t tree) isVirtio9P(address string) bool {
	vendor, _ := attribute(t.function(address, "vendor"))
	device, _ := attribute(t.function(address, "device"))
	return vendor == vendorVirtio && (device == idModern || device == idTransitional)
}

// look fills in what can be seen of a function.
func (t tree) look(address, lockDir string) Function {
	f := Function{Address: address}
	f.Driver, _ = t.driver(address)
	f.Group, _ = t.group(address)
	f.Tag, f.TagErr = t.tag(&f)
	if f.Tag != "" {
		f.InUse = t.kernelUse(f)
	}
	if f.InUse == nil {
		f.InUse = lockedBy(lockDir, address)
	}
	return f
}

// tag returns a function's mount tag: from the kernel's client while it holds
// the device, else from the device. It says in f whether the device is legacy.
func (t tree) tag(f *Function) (string, error) {
	l, config, err := t.layout(f.Address)
	if err == nil {
		defer config.Close()
	}
	f.Legacy = errors.Is(err, errLegacy)
	if held, _ := filepath.Glob(t.function(f.Address, "virtio*", "mount_tag")); len(held) > 0 {
		return attribute(held[0]) // 9pnet_virtio: trans_virtio.c, p9_mount_tag_show
	}
	if err != nil {
		return "", err
	}
	// The window's registers are the device's: two who use them at once read each other's bytes.
	if err := unix.Flock(descriptor(config), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("locking %s: %w", config.Name(), err)
	}
	return readTag(config, l)
}

// layout opens a function's config space and reads where virtio's structures are.
func (t tree) layout(address string) (layout, *os.File, error) {
	bars, err := t.bars(address)
	if err != nil {
		return layout{}, nil, err
	}
	config, err := t.openConfig(address)
	if err != nil {
		return layout{}, nil, readOnly(err)
	}
	bytes, err := readConfig(config)
	if err == nil {
		var l layout
		if l, err = parseLayout(bytes, bars); err == nil {
			return l, config, nil
		}
	}
	config.Close()
	return layout{}, nil, err
}

// Find returns the function with a mount tag. It fails, wrapping ErrNotFound,
// where none has it, and where several have.
func Find(tag string, o Options) (Function, error) {
	all, err := List(o)
	if err != nil {
		return Function{}, err
	}
	var found []Function
	for _, f := range all {
		if f.Tag == tag {
			found = append(found, f)
		}
	}
	switch {
	case len(found) == 0:
		return Function{}, notFound(tag, all)
	case len(found) > 1:
		return Function{}, fmt.Errorf("the devices %s and %s both have the mount tag %q: give each a mount_tag of its own", found[0].Address, found[1].Address, tag)
	case found[0].Legacy:
		return Function{}, fmt.Errorf("%s: %w", found[0].Address, errLegacy)
	}
	return found[0], nil
}

// notFound tells what there is instead of a tag.
func notFound(tag string, all []Function) error {
	if len(all) == 0 {
		return fmt.Errorf("%w: %q; this machine has no virtio-9p device at all", ErrNotFound, tag)
	}
	var there []string
	for _, f := range all {
		if f.TagErr != nil {
			there = append(there, fmt.Sprintf("%s, whose tag can't be read: %v", f.Address, f.TagErr))
			continue
		}
		there = append(there, fmt.Sprintf("%q (%s)", f.Tag, f.Address))
	}
	return fmt.Errorf("%w: %q; this machine has %s", ErrNotFound, tag, strings.Join(there, ", "))
}
