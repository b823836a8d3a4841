package pci

import (
	"errors"
	"fmt"
	"time"

	"github.com/csi-9p/csi-9p/transport/virtio"
)

// Offsets in the common configuration structure (virtio 1.2, 4.1.4.3).
const (
	deviceFeatureSelect = 0
	deviceFeature       = 4
	driverFeatureSelect = 8
	driverFeature       = 12
	configVector        = 16
	deviceStatus        = 20
	queueSelect         = 22
	queueSize           = 24
	queueVector         = 26
	queueEnable         = 28
	queueNotifyOff      = 30
	queueDesc           = 32
	queueDriver         = 40
	queueDevice         = 48
)

// noVector is VIRTIO_MSI_NO_VECTOR: no interrupt is to come, or the device has
// refused the vector (4.1.5.1.2).
const noVector = 0xffff

// Reset implements virtio.Device.
func (d *Device) Reset() error {
	d.common.store8(deviceStatus, 0)
	if d.tree.reset != nil {
		d.tree.reset(d.Address)
	}
	for deadline := time.Now().Add(d.patience); ; time.Sleep(time.Millisecond) {
		switch status := d.Status(); {
		case status == 0, status == gone:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("the device has not confirmed its reset within %v: its status is %#x", d.patience, status)
		}
	}
}

// Status implements virtio.Device.
func (d *Device) Status() uint8 { return d.common.load8(deviceStatus) }

// SetStatus implements virtio.Device.
func (d *Device) SetStatus(s uint8) { d.common.store8(deviceStatus, s) }

// Features implements virtio.Device.
func (d *Device) Features() uint64 {
	d.common.store32(deviceFeatureSelect, 0)
	low := d.common.load32(deviceFeature)
	d.common.store32(deviceFeatureSelect, 1)
	return uint64(low) | uint64(d.common.load32(deviceFeature))<<32
}

// SetFeatures implements virtio.Device. Behind an IOMMU the device is told to
// respect it, whatever else is accepted.
func (d *Device) SetFeatures(f uint64) {
	if d.Group != "" {
		f |= virtio.FeatureAccessPlatform
	}
	d.common.store32(driverFeatureSelect, 0)
	d.common.store32(driverFeature, uint32(f))
	d.common.store32(driverFeatureSelect, 1)
	d.common.store32(driverFeature, uint32(f>>32))
}

// QueueSize implements virtio.Device.
func (d *Device) QueueSize() int {
	d.common.store16(queueSelect, 0)
	return int(d.common.load16(queueSize))
}

// EnableQueue implements virtio.Device.
func (d *Device) EnableQueue(q virtio.Queue) error {
	queue, change := d.loan.vectors()
	if err := d.setVector(configVector, change); err != nil {
		return err
	}
	d.common.store16(queueSelect, 0)
	at, err := d.layout.doorbell(d.common.load16(queueNotifyOff))
	if err != nil {
		return err
	}
	d.doorbell = int(at)
	if err := d.setVector(queueVector, queue); err != nil {
		return err
	}
	d.common.store16(queueSize, uint16(q.Size))
	d.common.store64(queueDesc, q.Desc)
	d.common.store64(queueDriver, q.Avail)
	d.common.store64(queueDevice, q.Used)
	d.common.store16(queueEnable, 1)
	if d.common.load16(queueEnable) != 1 {
		return errors.New("the device has not enabled its queue")
	}
	return nil
}

// setVector gives an MSI-X vector to a source of interrupts.
func (d *Device) setVector(register int, vector uint16) error {
	d.common.store16(register, vector)
	if got := d.common.load16(register); got != vector {
		return fmt.Errorf("the device has refused the MSI-X vector %d and has %#x: it has no resources for it", vector, got)
	}
	return nil
}

// Notify implements virtio.Device.
func (d *Device) Notify() { d.notify.store16(d.doorbell, 0) }
