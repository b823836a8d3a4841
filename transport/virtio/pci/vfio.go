package pci

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport"
)

// vfio is a function that vfio-pci lends.
type vfio struct {
	container, group, device int // file descriptors; -1: not open
	regions                  [vfioConfigRegion + 1]vfioRegion
	space                    ioSpace
	maps                     []vfioUnmap
	queue                    *waiter  // the queue's vector
	change                   *os.File // the vector of configuration changes; nil: it shares the queue's
	leave                    *os.File // the kernel asks for the device back: it is being unplugged
	changed, gone            atomic.Bool
	watches                  sync.WaitGroup // of change and leave
}

// openVFIO opens a function that is bound to vfio-pci.
func openVFIO(t tree, f Function) (*vfio, error) {
	v := &vfio{container: -1, group: -1, device: -1}
	if err := v.open(t, f); err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

func (v *vfio) open(t tree, f Function) error {
	var err error
	if v.container, err = openDevice(t.path("dev/vfio/vfio")); err != nil {
		return err
	}
	if v.group, err = openDevice(t.path("dev/vfio", f.Group)); err != nil {
		if errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("%w: another process has the IOMMU group %s (/dev/vfio/%s): stop it first", ErrInUse, f.Group, f.Group)
		}
		return err
	}
	if err := v.join(t, f); err != nil {
		return err
	}
	if v.device, err = ioctlBytes(v.group, vfioGroupGetDeviceFD, append([]byte(f.Address), 0)); err != nil {
		return fmt.Errorf("opening the device in the IOMMU group %s: %w", f.Group, err)
	}
	unix.CloseOnExec(v.device)
	for i := range v.regions {
		r := &v.regions[i]
		if err := v.region(r, i); err != nil {
			return err
		}
	}
	if v.space, err = v.addressSpace(); err != nil {
		return err
	}
	return nil
}

// openDevice opens a device file for ioctls.
func openDevice(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		err = fmt.Errorf("opening %s: %w", path, err)
	}
	switch {
	case errors.Is(err, unix.ENOENT):
		err = fmt.Errorf("%w: load vfio-pci on the node (modprobe vfio-pci); a container needs the host's /dev", err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		err = fmt.Errorf("%w: a container has to be privileged for it", err)
	}
	return fd, err
}

// join puts the group into the container and the container behind its IOMMU.
func (v *vfio) join(t tree, f Function) error {
	if version, err := ioctl(v.container, vfioGetAPIVersion, 0); err != nil || version != 0 {
		return errors.New("the kernel's VFIO has another interface than version 0")
	}
	if has, err := ioctl(v.container, vfioCheckExtension, vfioType1v2); err != nil || has == 0 {
		return errors.New("the kernel's VFIO has no type 1 IOMMU: load it on the node (modprobe vfio_iommu_type1)")
	}
	status := vfioStatus{argsz: 8}
	if _, err := ioctlStruct(v.group, vfioGroupGetStatus, &status); err != nil {
		return fmt.Errorf("IOMMU group %s: %w", f.Group, err)
	}
	if status.flags&vfioGroupViable == 0 {
		return fmt.Errorf("IOMMU group %s is not ours alone: %s; put the 9p device on a root port of its own, or unbind the others",
			f.Group, strings.Join(t.companions(f), ", "))
	}
	container := int32(v.container)
	if _, err := ioctlStruct(v.group, vfioGroupSetContainer, &container); err != nil {
		return fmt.Errorf("IOMMU group %s: %w", f.Group, err)
	}
	if _, err := ioctl(v.container, vfioSetIOMMU, vfioType1v2); err != nil {
		if errors.Is(err, unix.EPERM) {
			return fmt.Errorf("%w: the IOMMU does not remap interrupts: give it intremap=on (QEMU: -device intel-iommu,intremap=on with kernel-irqchip=split), "+
				"or, where the guest trusts its host, echo 1 > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", err)
		}
		return fmt.Errorf("IOMMU group %s: %w", f.Group, err)
	}
	return nil
}

// companions names the other devices of a function's IOMMU group with their drivers.
func (t tree) companions(f Function) []string {
	entries, err := os.ReadDir(t.path("sys/kernel/iommu_groups", f.Group, "devices"))
	if err != nil {
		return []string{err.Error()}
	}
	var others []string
	for _, e := range entries {
		driver, _ := t.driver(e.Name())
		if e.Name() != f.Address && driver != "" && driver != driverVFIO {
			others = append(others, fmt.Sprintf("%s is in it and bound to %s", e.Name(), driver))
		}
	}
	if len(others) == 0 {
		others = []string{"the kernel does not say why"}
	}
	return others
}

// region asks for a region's place.
func (v *vfio) region(r *vfioRegion, index int) error {
	*r = vfioRegion{argsz: 32, index: uint32(index)}
	if _, err := ioctlStruct(v.device, vfioGetRegionInfo, r); err != nil {
		return fmt.Errorf("region %d: %w", index, err)
	}
	return nil
}

// ReadAt reads config space.
func (v *vfio) ReadAt(p []byte, at int64) (int, error) {
	return unix.Pread(v.device, p, int64(v.regions[vfioConfigRegion].offset)+at)
}

// WriteAt writes config space.
func (v *vfio) WriteAt(p []byte, at int64) (int, error) {
	return unix.Pwrite(v.device, p, int64(v.regions[vfioConfigRegion].offset)+at)
}

// mmap maps whole pages of a BAR.
func (v *vfio) mmap(number int, offset int64, length int) ([]byte, error) {
	r := v.regions[number]
	if r.flags&vfioRegionMmap == 0 {
		return nil, fmt.Errorf("BAR %d can't be mapped: the kernel keeps it for itself", number)
	}
	return unix.Mmap(v.device, int64(r.offset)+offset, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// listen opens the vectors that there are: 0 is the queue's, 1 that of
// configuration changes.
func (v *vfio) listen(vectors int, _ registers) error {
	info := vfioIRQ{argsz: 16, index: vfioMSIX}
	if _, err := ioctlStruct(v.device, vfioGetIRQInfo, &info); err != nil {
		return fmt.Errorf("interrupts: %w", err)
	}
	if vectors = min(vectors, int(info.count)); vectors == 0 {
		return errors.New("the device has no MSI-X vectors: give it vectors=2 (QEMU)")
	}
	queue, err := eventfd()
	if err != nil {
		return err
	}
	v.queue = &waiter{file: queue}
	files := []*os.File{queue}
	if vectors > 1 {
		if v.change, err = eventfd(); err != nil {
			return err
		}
		files = append(files, v.change)
	}
	if err := v.setIRQs(vfioMSIX, files...); err != nil {
		return fmt.Errorf("MSI-X interrupts on eventfds: %w", err)
	}
	if v.change != nil {
		v.watch(v.change, &v.changed)
	}
	if v.leave, err = eventfd(); err != nil {
		return err
	}
	if v.setIRQs(vfioLeave, v.leave) == nil { // since Linux 4.1: without it an unplug waits until the device is closed
		v.watch(v.leave, &v.gone)
	}
	return nil
}

// setIRQs has the first interrupts of an index signal eventfds.
func (v *vfio) setIRQs(index uint32, files ...*os.File) error {
	set := vfioEventfds{flags: vfioIRQEventfd | vfioIRQTrigger, index: index, count: uint32(len(files))}
	set.argsz = 20 + 4*set.count
	for i, f := range files {
		set.fds[i] = int32(descriptor(f))
	}
	_, err := ioctlStruct(v.device, vfioSetIRQs, &set)
	return err
}

// watch turns what an eventfd tells into a wake that finds flag set, until the
// file is closed.
func (v *vfio) watch(f *os.File, flag *atomic.Bool) {
	v.watches.Go(func() {
		var p [8]byte
		for {
			if _, err := f.Read(p[:]); err != nil {
				return
			}
			flag.Store(true)
			v.queue.wake()
		}
	})
}

// eventfd makes an eventfd(2) that Go's poller waits for.
func eventfd() (*os.File, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return os.NewFile(uintptr(fd), "eventfd"), nil
}

// descriptor is a file's descriptor, which stays non-blocking.
func descriptor(f *os.File) int {
	fd := -1
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(p uintptr) { fd = int(p) })
	}
	return fd
}

// vectors returns which vector the queue has and which configuration changes.
func (v *vfio) vectors() (queue, change uint16) {
	if v.change == nil {
		return 0, 0
	}
	return 0, 1
}

func (v *vfio) wait() (changed bool, err error) {
	var p [8]byte
	if _, err := v.queue.wait(p[:]); err != nil {
		return false, err
	}
	if v.gone.Load() {
		return false, errGone
	}
	return v.changed.Swap(false) || v.change == nil, nil
}

func (v *vfio) wake() { v.queue.wake() }

// Map implements transport.Reach.
func (v *vfio) Map(b []byte) ([]transport.Extent, error) {
	length := roundUp(len(b), os.Getpagesize())
	iova, err := v.space.take(uint64(length))
	if err != nil {
		return nil, err
	}
	const chunk = 64 << 20 // a call pins all of its pages before it returns
	for at := 0; at < length; at += chunk {
		m := vfioMap{
			argsz:   32,
			flags:   vfioMapRead | vfioMapWrite,
			address: addressOf(b) + uint64(at),
			iova:    iova + uint64(at),
			len:     uint64(min(chunk, length-at)),
		}
		if err := v.mapDMA(&m); err != nil {
			return nil, err
		}
		v.maps = append(v.maps, vfioUnmap{argsz: 24, iova: m.iova, len: m.len})
	}
	return []transport.Extent{{Addr: iova, Len: len(b)}}, nil
}

// mapDMA maps for the device. Where the limit of locked memory stands against
// it, it raises what it may of that first.
func (v *vfio) mapDMA(m *vfioMap) error {
	_, err := ioctlStruct(v.container, vfioIOMMUMapDMA, m)
	if !errors.Is(err, unix.ENOMEM) {
		return err
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return fmt.Errorf("the limit of locked memory: %w", err)
	}
	raised := unix.Rlimit{Cur: limit.Max, Max: limit.Max}
	if limit.Cur < limit.Max && unix.Setrlimit(unix.RLIMIT_MEMLOCK, &raised) == nil {
		limit = raised
		_, err = ioctlStruct(v.container, vfioIOMMUMapDMA, m)
	}
	if errors.Is(err, unix.ENOMEM) {
		return fmt.Errorf("%w: locking %d MiB for the device goes beyond the limit of locked memory, %d KiB: raise it (ulimit -l, LimitMEMLOCK=), "+
			"or give the process CAP_IPC_LOCK", err, m.len>>20, limit.Cur>>10)
	}
	return err
}

// close ends the device's reach and everything else.
func (v *vfio) close() {
	for _, m := range v.maps {
		// If it fails, the kernel still unmaps all with the container.
		_, _ = ioctlStruct(v.container, vfioIOMMUUnmapDMA, &m)
	}
	v.maps = nil
	for _, f := range []*os.File{v.change, v.leave} {
		if f != nil {
			f.Close()
		}
	}
	v.watches.Wait()
	if v.queue != nil {
		v.queue.file.Close()
	}
	for _, fd := range []*int{&v.device, &v.group, &v.container} {
		if *fd >= 0 {
			_ = unix.Close(*fd)
			*fd = -1
		}
	}
}

// ioSpace is the addresses that the IOMMU translates, which are taken from the
// front, each once.
type ioSpace []ioRange

// ioRange is struct vfio_iova_range: its last address belongs to it.
type ioRange struct{ first, last uint64 }

// firstIOVA leaves the addresses of devices on x86, below 4 GiB, alone.
const firstIOVA = 4 << 30

// take returns the first of n addresses.
func (s ioSpace) take(n uint64) (uint64, error) {
	for i := range s {
		r := &s[i]
		if start := roundUp(r.first, hugePage); start >= r.first && start <= r.last && r.last-start >= n-1 {
			r.first = start + n
			return start, nil
		}
	}
	return 0, fmt.Errorf("%d MiB do not fit the addresses that the IOMMU translates", n>>20)
}

// addressSpace asks the IOMMU what it translates (since Linux 5.4).
func (v *vfio) addressSpace() (ioSpace, error) {
	info := make([]byte, 4096)
	binary.NativeEndian.PutUint32(info, uint32(len(info)))
	if _, err := ioctlBytes(v.container, vfioIOMMUGetInfo, info); err != nil {
		return nil, fmt.Errorf("what the IOMMU translates: %w", err)
	}
	var ranges ioSpace
	if binary.NativeEndian.Uint32(info[vfioIOMMUFlags:])&vfioInfoCaps != 0 {
		ranges = parseRanges(capability(info, binary.NativeEndian.Uint32(info[vfioIOMMUCapOffset:]), vfioCapIOVARange))
	}
	if len(ranges) == 0 {
		ranges = ioSpace{{first: 0, last: 1<<39 - 1}} // what every IOMMU has at least
	}
	return ranges.from(firstIOVA), nil
}

// from puts the ranges beyond an address first, and drops address 0.
func (s ioSpace) from(first uint64) ioSpace {
	var above, below ioSpace
	for _, r := range s {
		if r.last >= first {
			above = append(above, ioRange{max(r.first, first), r.last})
		}
		if r.first < first {
			below = append(below, ioRange{max(r.first, hugePage), min(r.last, first-1)})
		}
	}
	below = slices.DeleteFunc(below, func(r ioRange) bool { return r.first > r.last })
	return append(above, below...)
}

// capability returns the body of a capability in the chain of an info, which
// begins at first; nil if it is not there.
func capability(info []byte, first uint32, id uint16) []byte {
	for at, hops := int(first), 0; at >= vfioIOMMUSize && at+8 <= len(info) && hops < 64; hops++ {
		if binary.NativeEndian.Uint16(info[at:]) == id {
			return info[at+8:]
		}
		at = int(binary.NativeEndian.Uint32(info[at+4:]))
	}
	return nil
}

// parseRanges reads the body of vfio_iommu_type1_info_cap_iova_range.
func parseRanges(body []byte) ioSpace {
	if len(body) < 8 {
		return nil
	}
	n := min(int(binary.NativeEndian.Uint32(body)), (len(body)-8)/16)
	var s ioSpace
	for i := range n {
		p := body[8+16*i:]
		s = append(s, ioRange{binary.NativeEndian.Uint64(p), binary.NativeEndian.Uint64(p[8:])})
	}
	return s
}

func roundUp[T int | uint64](n, unit T) T { return (n + unit - 1) / unit * unit }
