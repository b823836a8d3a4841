package virtio

import "github.com/csi-9p/csi-9p/transport"

// Device status bits (virtio 1.2, section 2.1).
const (
	StatusAcknowledge = 1
	StatusDriver      = 2
	StatusDriverOK    = 4
	StatusFeaturesOK  = 8
	StatusNeedsReset  = 64
	StatusFailed      = 128
)

// Feature bits (virtio 1.2, sections 6 and 5.15.3: mount tag).
const (
	FeatureMountTag       = 1 << 0
	FeatureIndirect       = 1 << 28
	FeatureEventIndex     = 1 << 29
	FeatureVersion1       = 1 << 32
	FeatureAccessPlatform = 1 << 33
)

// Queue is where the parts of a split virtqueue lie, as the device addresses
// them, and how many elements it has.
type Queue struct {
	Size              int
	Desc, Avail, Used uint64
}

// Device is a virtio-9p device as its driver sees it: registers, one queue, its
// interrupts and the memory that it reaches. This package drives it; where the
// registers are and how interrupts come is the implementation's business. Its
// methods are called by one goroutine at a time, but for Notify, Wait, Wake
// and those of Reach, which may be called at the same time as any other but Close.
type Device interface {
	// Reach is how memory comes within reach of the device (DMA).
	transport.Reach

	// String names the device for people, as the kernel does: "0000:00:04.0".
	String() string
	// Reset writes 0 to the device status and returns nil once the device says
	// 0 itself: it then reads and writes no memory any more. A device that
	// has been unplugged reaches nothing either: nil. An error means that it is
	// not known whether it still does, after a time that the implementation
	// thinks fit (a second or more). Reset may be called again, and at any
	// time; queue and interrupts are off afterwards.
	Reset() error
	// Status reads the device status. Of a device that is gone it is 0xff.
	Status() uint8
	// SetStatus writes the device status, which is not 0.
	SetStatus(uint8)
	// Features reads the 64 feature bits that the device offers.
	Features() uint64
	// SetFeatures writes those that the driver accepts.
	SetFeatures(uint64)
	// QueueSize reads the largest size of queue 0; 0: there is none.
	QueueSize() int
	// EnableQueue sets queue 0 up with its interrupt, and that for configuration
	// changes, and enables it. Called between FEATURES_OK and DRIVER_OK.
	EnableQueue(Queue) error
	// Notify tells the device that queue 0 has elements to offer. It does not block.
	Notify()
	// Wait blocks, without occupying a thread, until the device has raised
	// an interrupt since the last Wait returned, or Wake was called. changed
	// says that the interrupt is, or may be, one for a configuration change,
	// which is also how a device tells that it needs a reset. An error is for
	// ever: the device is gone.
	Wait() (changed bool, err error)
	// Wake has the Wait under way, or the next one, return. Any goroutine may
	// call it, also while Close runs or after it.
	Wake()
	// Close resets the device, ends its reach and gives it back to the kernel.
	// Nil means that the device reads and writes no memory any more, whatever
	// Reset answered: behind an IOMMU the end of the mappings sees to that.
	// After an error it may be called again. No Wait is under way.
	Close() error
}
