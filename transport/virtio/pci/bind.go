package pci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Drivers of the kernel.
const (
	driverVirtio = "virtio-pci"
	driverVFIO   = "vfio-pci"
	driverUIO    = "uio_pci_generic"
)

// binding returns what a function is bound to now.
func (t tree) binding(address string) (origin, error) {
	driver, err := t.driver(address)
	if err != nil {
		return origin{}, err
	}
	override, err := attribute(t.function(address, "driver_override"))
	if override == "(null)" { // what an unset one reads as
		override = ""
	}
	return origin{Driver: driver, Override: override}, err
}

// bind makes a driver a function's own. The override is what tells the drivers
// apart: neither vfio-pci nor uio_pci_generic is given an id (new_id), which
// would let it take every other device of the kind too.
func (t tree) bind(address, driver string) error {
	if _, err := os.Stat(t.path("sys/bus/pci/drivers", driver)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the kernel has no driver %s: load it on the node (modprobe %s, and a line in /etc/modules-load.d)", driver, driver)
	}
	return t.rebind(address, origin{Driver: driver, Override: driver})
}

// restore gives a function back to whom it was bound before.
func (t tree) restore(address string, o origin) error {
	if err := t.rebind(address, o); err != nil {
		return fmt.Errorf("giving %s back to the kernel: %w", address, err)
	}
	return nil
}

// rebind takes a function from its driver and lets the kernel find the one
// meant. What is as it should be is not written to.
func (t tree) rebind(address string, to origin) error {
	if is, err := t.binding(address); err == nil && is == to {
		return nil
	}
	override := to.Override
	if override == "" {
		override = "\n" // clears it: drivers/base/driver.c, driver_set_override
	}
	if err := t.write(t.function(address, "driver_override"), override); err != nil {
		return err
	}
	now, err := t.driver(address)
	if err != nil || now == to.Driver {
		return err
	}
	if now != "" {
		if err := t.write(t.path("sys/bus/pci/drivers", now, "unbind"), address); err != nil {
			return err
		}
	}
	if to.Driver == "" {
		return nil
	}
	if err := t.write(t.path("sys/bus/pci/drivers_probe"), address); err != nil {
		return fmt.Errorf("binding it to %s: %w", to.Driver, err)
	}
	if now, err = t.driver(address); err == nil && now != to.Driver {
		err = fmt.Errorf("the driver %s did not take the device: the kernel's log says why", to.Driver)
	}
	return err
}
