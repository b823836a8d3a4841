// Package virtiotest is a virtio-9p device in memory, for tests of its driver.
//
// A Device is served by whatever speaks 9P on a stream, or by a function that
// sees each element of the queue and answers it well or badly. It is as strict
// with its driver as QEMU's device is and a little more: what breaks a rule of the queue breaks
// the device, and the test is told. Memory comes from the Go heap, so that the race
// detector sees what driver and device do to it.
package virtiotest

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/csi-9p/csi-9p/transport/virtio"
)

// QueueSize is the size of QEMU's queue.
const QueueSize = 128

// Features are those that QEMU's device offers behind an IOMMU.
const Features = virtio.FeatureMountTag | virtio.FeatureIndirect | virtio.FeatureEventIndex |
	virtio.FeatureVersion1 | virtio.FeatureAccessPlatform

// Options shape a Device.
type Options struct {
	// Dial connects to the server whose answers the device gives: each time the
	// driver has brought the device up.
	Dial func() (io.ReadWriteCloser, error)
	// Handle, unless nil, is given every element in place of that server. It runs on
	// a goroutine of the device's, one element after the other.
	Handle func(*Element)
	// Reuse has all elements be one, of use until Handle returns: nothing is
	// allocated then.
	Reuse bool
	// QueueSize is the size of the queue; 0: QueueSize.
	QueueSize int
	// Without are features that are not offered.
	Without uint64
	// Pages has memory in pieces of 2 MiB, none beside the one before it.
	Pages bool
	// Broken is told when the driver breaks a rule.
	Broken func(error)
	// ResetFails is how often a reset is not confirmed.
	ResetFails int
}

// Device implements virtio.Device.
type Device struct {
	Memory

	options   Options
	reused    Element
	kick      chan struct{}
	interrupt chan struct{}
	woken     chan struct{}

	mu       sync.Mutex // everything that touches memory holds it
	status   uint8
	features uint64
	queue    *queue // nil: not enabled
	live     bool   // DRIVER_OK, and not reset since
	changed  bool   // a configuration interrupt is due
	closed   bool
	gone     bool
	resets   int
	notified int
	stop     chan struct{}
	backend  io.ReadWriteCloser
	work     sync.WaitGroup
}

var _ virtio.Device = (*Device)(nil)

// New makes a device.
func New(o Options) *Device {
	if o.QueueSize == 0 {
		o.QueueSize = QueueSize
	}
	if o.Broken == nil {
		o.Broken = func(err error) { panic(err) }
	}
	return &Device{
		Memory:  Memory{pages: o.Pages},
		options: o, kick: make(chan struct{}, 1), interrupt: make(chan struct{}, 1), woken: make(chan struct{}, 1),
	}
}

// String implements virtio.Device.
func (d *Device) String() string { return "in memory" }

// Reset implements virtio.Device.
func (d *Device) Reset() error {
	d.mu.Lock()
	d.resets++
	if d.options.ResetFails > 0 {
		d.options.ResetFails--
		d.mu.Unlock()
		return errors.New("the reset is not confirmed")
	}
	if d.stop != nil {
		close(d.stop)
	}
	if d.backend != nil {
		_ = d.backend.Close() // whoever reads or writes it ends
	}
	d.stop, d.backend = nil, nil
	d.status, d.queue, d.live, d.changed = 0, nil, false, false
	d.mu.Unlock()
	d.work.Wait()
	return nil
}

// Status implements virtio.Device.
func (d *Device) Status() uint8 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return 0xff
	}
	return d.status
}

// SetStatus implements virtio.Device.
func (d *Device) SetStatus(s uint8) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s&virtio.StatusFeaturesOK != 0 && d.features&virtio.FeatureVersion1 == 0 {
		s &^= virtio.StatusFeaturesOK
	}
	d.status = s
	if s&virtio.StatusDriverOK == 0 || d.live {
		return
	}
	d.live, d.stop = true, make(chan struct{})
	if d.options.Handle == nil {
		backend, err := d.options.Dial()
		if err != nil {
			d.breaks(err)
			return
		}
		d.backend = backend
		d.work.Go(func() { d.receive(backend) })
	}
	stop := d.stop
	d.work.Go(func() { d.serve(stop) })
}

// Features implements virtio.Device.
func (d *Device) Features() uint64 { return Features &^ d.options.Without }

// SetFeatures implements virtio.Device.
func (d *Device) SetFeatures(f uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f&^d.Features() != 0 {
		d.breaks(fmt.Errorf("features %#x were not offered", f&^d.Features()))
	}
	d.features = f
}

// QueueSize implements virtio.Device.
func (d *Device) QueueSize() int { return d.options.QueueSize }

// EnableQueue implements virtio.Device.
func (d *Device) EnableQueue(q virtio.Queue) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.status&virtio.StatusFeaturesOK == 0 || d.live {
		d.breaks(errors.New("the queue was enabled out of turn"))
	}
	var err error
	d.queue, err = newQueue(&d.Memory, q, d.features)
	return err
}

// Notify implements virtio.Device.
func (d *Device) Notify() {
	d.mu.Lock()
	d.notified++
	d.mu.Unlock()
	signal(d.kick)
}

// Wait implements virtio.Device.
func (d *Device) Wait() (changed bool, err error) {
	select {
	case <-d.interrupt:
	case <-d.woken:
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	changed, d.changed = d.changed, false
	if d.gone {
		return changed, errors.New("unplugged")
	}
	return changed, nil
}

// Wake implements virtio.Device.
func (d *Device) Wake() { signal(d.woken) }

// Close implements virtio.Device.
func (d *Device) Close() error {
	if err := d.Reset(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.unmap()
	return nil
}

// Closed reports whether the driver has given the device back.
func (d *Device) Closed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

// Notified is how often the driver has notified the device.
func (d *Device) Notified() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.notified
}

// Resets is how often the driver has reset the device.
func (d *Device) Resets() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.resets
}

// FailResets has the next n resets not confirmed.
func (d *Device) FailResets(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.options.ResetFails = n
}

// Break has the device tell that it needs a reset.
func (d *Device) Break() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.breakDown()
}

// Unplug takes the device away.
func (d *Device) Unplug() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = true
	signal(d.interrupt)
}

// breaks tells of a driver that breaks a rule, and breaks the device, as QEMU's virtio_error does. The caller holds d.mu.
func (d *Device) breaks(err error) {
	d.options.Broken(err)
	d.breakDown()
}

func (d *Device) breakDown() {
	d.status |= virtio.StatusNeedsReset
	d.live, d.changed = false, true
	signal(d.interrupt)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
