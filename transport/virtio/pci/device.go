package pci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/virtio"
)

// DefaultLockDir is where the locks of devices are, if Options do not say.
const DefaultLockDir = "/run/csi-9p"

// DefaultResetTimeout is how long a device may take to confirm its reset, if
// Options do not say. QEMU's does at once.
const DefaultResetTimeout = 5 * time.Second

// Options say how devices may be taken. The zero value is good behind an IOMMU.
type Options struct {
	// AllowUnsafeDMA allows to drive a device that no IOMMU stands before. It
	// is told physical addresses then, and can reach all memory of this
	// machine, by a mistake of this process as well.
	AllowUnsafeDMA bool
	// HugePages is the hugetlbfs with 2 MiB pages that memory for such a device
	// comes from; empty: the first one that is mounted.
	HugePages string
	// LockDir is a directory that all who may drive this machine's devices
	// share; empty: DefaultLockDir.
	LockDir string
	// ResetTimeout is how long a device may take to confirm its reset; 0:
	// DefaultResetTimeout.
	ResetTimeout time.Duration

	tree tree
}

func (o Options) withDefaults() Options {
	if o.LockDir == "" {
		o.LockDir = DefaultLockDir
	}
	if o.ResetTimeout == 0 {
		o.ResetTimeout = DefaultResetTimeout
	}
	if o.tree.root == "" {
		o.tree.root = "/"
	}
	return o
}

// errGone is the error of a device that has been unplugged, or that the kernel
// wants back for that.
var errGone = errors.New("the device has been unplugged")

// gone is the status of a device that is no more: what no register answers
// reads as all ones.
const gone = 0xff

// loan is a function that one of the kernel's drivers lends.
type loan interface {
	configSpace
	mmap(bar int, offset int64, length int) ([]byte, error)
	listen(vectors int, isr registers) error
	vectors() (queue, change uint16)
	wait() (changed bool, err error)
	wake()
	Map([]byte) ([]transport.Extent, error)
	close()
}

// Device is a virtio-9p device that this process drives.
type Device struct {
	Function
	log      klog.Logger
	tree     tree
	patience time.Duration // with a reset
	lock     *lock
	origin   origin
	alloc    func(int) ([]byte, func() error, error)

	mu     sync.Mutex // of Map and Close
	closed bool
	told   bool // of memory

	leaving atomic.Bool // the kernel wants the device back, to remove it

	loan     loan
	layout   layout
	mappings [][]byte
	common   registers
	isr      registers
	notify   registers
	doorbell int // of queue 0, in notify
}

var _ virtio.Device = (*Device)(nil)

// Open takes the device with a mount tag from the kernel, reset and ready to be
// negotiated with. It fails with an error that wraps ErrNotFound, ErrInUse or
// ErrUnsafeDMA where these are the cause, and then all is as it was before. ctx
// bounds nothing but lends its logger, for what goes wrong at the giving back.
func Open(ctx context.Context, tag string, o Options) (*Device, error) {
	o = o.withDefaults()
	f, err := Find(tag, o)
	if err != nil {
		return nil, err
	}
	d := &Device{Function: f, tree: o.tree, patience: o.ResetTimeout, log: klog.FromContext(ctx)}
	if err := d.take(o); err != nil {
		return nil, fmt.Errorf("virtio-9p device %s (mount tag %q): %w", f.Address, tag, err)
	}
	return d, nil
}

// String is the function's address.
func (d *Device) String() string { return d.Address }

// take makes the device this process's.
func (d *Device) take(o Options) error {
	if d.InUse != nil {
		return d.InUse
	}
	driver := driverVFIO
	var pages hugePages
	if d.Group == "" {
		if !o.AllowUnsafeDMA {
			return fmt.Errorf("%w: the VM needs one (QEMU: -device intel-iommu, and iommu_platform=on for the device); "+
				"--allow-unsafe-dma does without: docs/virtio.md says what that means", ErrUnsafeDMA)
		}
		driver = driverUIO
		var err error
		if pages, err = openHugePages(o.tree, d.Address, o); err != nil {
			return err
		}
	}
	var err error
	if d.lock, err = lockFunction(o.LockDir, d.Address); err != nil {
		pages.close()
		return err
	}
	if err := d.note(); err != nil {
		pages.close()
		d.lock.close()
		return err
	}
	if err := d.tree.bind(d.Address, driver); err != nil {
		pages.close()
		return errors.Join(err, d.giveBack())
	}
	if err := d.borrow(pages); err != nil {
		d.release(d.stop()) // it has been told of no memory yet
		return err
	}
	return nil
}

// note writes down whom the device is taken from. A note that is there already
// is of an owner that crashed: what it notes is what counts.
func (d *Device) note() error {
	now, err := d.tree.binding(d.Address)
	if err != nil {
		return err
	}
	d.origin = now
	left, err := d.lock.read()
	if err != nil {
		return fmt.Errorf("what the owner before has noted: %w", err)
	}
	if left != nil {
		d.origin = left.Origin
	}
	if err := d.lock.write(d.origin); err != nil {
		return fmt.Errorf("noting whom the device is taken from: %w", err)
	}
	return nil
}

// borrow opens the device through the driver that lends it, and resets it, which
// ends whatever an owner before has left running, before anything of that
// owner's is freed and before the device may reach memory.
func (d *Device) borrow(pages hugePages) error {
	if d.Group != "" {
		v, err := openVFIO(d.tree, d.Function)
		if err != nil {
			return err
		}
		d.loan, d.alloc = v, allocPages
	} else {
		u, err := openUIO(d.tree, d.Function, pages)
		if err != nil {
			return err
		}
		d.loan, d.alloc = u, pages.alloc
	}
	if err := d.mapStructures(); err != nil {
		return err
	}
	if err := d.Reset(); err != nil {
		return err
	}
	if d.Group == "" {
		if err := pages.dropLeftovers(); err != nil {
			return err
		}
	} else if d.Features()&virtio.FeatureAccessPlatform == 0 {
		return errors.New("the device goes past the IOMMU: give it iommu_platform=on (QEMU; libvirt: <driver iommu='on'/>)")
	}
	if err := updateCommand(d.loan, commandMemory|commandBusMaster, 0); err != nil {
		return fmt.Errorf("letting the device reach memory: %w", err)
	}
	return d.loan.listen(d.layout.vectors, d.isr)
}

// mapStructures finds virtio's structures and maps them.
func (d *Device) mapStructures() error {
	bars, err := d.tree.bars(d.Address)
	if err != nil {
		return err
	}
	config, err := readConfig(d.loan)
	if err != nil {
		return fmt.Errorf("config space: %w", err)
	}
	if d.layout, err = parseLayout(config, bars); err != nil {
		return err
	}
	if err := updateCommand(d.loan, commandMemory, 0); err != nil {
		return fmt.Errorf("config space: %w", err)
	}
	for _, m := range []struct {
		span
		into *registers
	}{{d.layout.common, &d.common}, {d.layout.isr, &d.isr}, {d.layout.notify, &d.notify}} {
		if *m.into, err = d.mapSpan(m.span); err != nil {
			return fmt.Errorf("mapping BAR %d: %w", m.bar, err)
		}
	}
	return nil
}

// mapSpan maps the pages that a span is in.
func (d *Device) mapSpan(s span) (registers, error) {
	page := uint64(os.Getpagesize())
	first := s.offset / page * page
	b, err := d.loan.mmap(s.bar, int64(first), int(roundUp(s.offset+s.length, page)-first))
	if err != nil {
		return nil, err
	}
	d.mappings = append(d.mappings, b)
	return b[s.offset-first:][:s.length:s.length], nil
}

// Alloc implements transport.Reach.
func (d *Device) Alloc(n int) ([]byte, func() error, error) { return d.alloc(n) }

// Map implements transport.Reach.
func (d *Device) Map(b []byte) ([]transport.Extent, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, os.ErrClosed
	}
	d.told = true
	return d.loan.Map(b)
}

// Wait implements virtio.Device.
func (d *Device) Wait() (changed bool, err error) {
	changed, err = d.loan.wait()
	if errors.Is(err, errGone) {
		d.leaving.Store(true)
	}
	return changed, err
}

// Wake implements virtio.Device.
func (d *Device) Wake() { d.loan.wake() }

// Close implements virtio.Device: it resets the device, ends its reach and
// gives it back to the driver that it had. An error means that the device did
// not confirm its reset and may still reach memory that it was told of, which is
// so only without an IOMMU: then it keeps what it has, the process its ownership, and Close may
// be called again. A device that can't be given back is logged: the next owner
// finds it.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	confirmed := d.stop()
	if confirmed != nil && d.Group == "" && d.told {
		return confirmed
	}
	d.closed = true
	d.release(confirmed)
	return nil
}

// release lets go of the device, and gives it back unless there is a reason not
// to: virtio-pci would wait for a reset that is not confirmed without end
// (vp_reset), with the device's lock held.
func (d *Device) release(err error) {
	for _, m := range d.mappings {
		_ = unix.Munmap(m) // it fails only for what is no mapping
	}
	d.mappings, d.common, d.isr, d.notify = nil, nil, nil, nil
	if d.loan != nil {
		d.loan.close()
	}
	if err == nil {
		err = d.giveBack()
	} else {
		d.lock.close()
	}
	if err != nil {
		d.log.Error(err, "The device was not given back to the kernel", "device", d.Address, "driver", d.origin.Driver)
	}
}

// stop resets the device, if it is open, and takes its bus mastership.
func (d *Device) stop() error {
	if d.common == nil {
		return nil // it was never let at memory
	}
	if err := d.Reset(); err != nil {
		return err
	}
	if d.Status() == gone {
		return nil
	}
	return updateCommand(d.loan, 0, commandBusMaster)
}

// giveBack ends the ownership.
func (d *Device) giveBack() error {
	defer d.lock.close()
	if d.leaving.Load() {
		return d.lock.forget() // no driver is to have it
	}
	if err := d.tree.restore(d.Address, d.origin); err != nil {
		return err
	}
	return d.lock.forget()
}
