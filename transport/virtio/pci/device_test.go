package pci_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport/virtio"
	"github.com/csi-9p/csi-9p/transport/virtio/pci"
)

// Offsets in the BAR's common configuration.
const (
	driverFeature = 12
	configVector  = 16
	deviceStatus  = 20
)

// uioMachine is one without an IOMMU but with huge pages.
func uioMachine(t *testing.T) (*machine, pci.Options, string) {
	m := newMachine(t)
	m.device(first, "share0")
	pages := m.hugePages("2M")
	o := m.options()
	o.AllowUnsafeDMA = true
	return m, o, pages
}

func mustOpen(t *testing.T, o pci.Options) *pci.Device {
	t.Helper()
	d, err := pci.Open(t.Context(), "share0", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestDeviceWithoutIOMMUIsAskedFor(t *testing.T) {
	m, o, _ := uioMachine(t)
	o.AllowUnsafeDMA = false
	_, err := pci.Open(t.Context(), "share0", o)
	if !errors.Is(err, pci.ErrUnsafeDMA) || !strings.Contains(err.Error(), "--allow-unsafe-dma") {
		t.Errorf("the error is %v", err)
	}
	m.untouched(first)
}

func TestDeviceIsTakenAndGivenBack(t *testing.T) {
	m, o, _ := uioMachine(t)
	d := mustOpen(t, o)
	m.wrote("devices/"+first+"/driver_override uio_pci_generic", "drivers/virtio-pci/unbind "+first, "drivers_probe "+first)
	config, err := os.ReadFile(m.path("sys/bus/pci/devices", first, "config"))
	if err != nil {
		t.Fatal(err)
	}
	if config[4]&6 != 6 {
		t.Errorf("the command register is %#x: no memory, no bus master", config[4])
	}
	if _, err := pci.Open(t.Context(), "share0", o); !errors.Is(err, pci.ErrInUse) {
		t.Errorf("a second owner: %v", err)
	}
	if all, err := pci.List(o); err != nil || !errors.Is(all[0].InUse, pci.ErrInUse) {
		t.Errorf("listed: %+v, %v", all, err)
	}
	d.SetStatus(virtio.StatusAcknowledge)
	if got := m.register(first, deviceStatus); got != 1 {
		t.Errorf("the status register is %d", got)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := m.register(first, deviceStatus); got != 0 {
		t.Errorf("the device was given back with status %d", got)
	}
	m.untouched(first)
	if err := d.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	d.Wake() // must not hurt
	if _, err := d.Map(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Map of a closed device: %v", err)
	}
	mustOpen(t, o) // and again
}

// TestCrashedOwnersDeviceIsTakenOver has an owner that left everything as it was.
func TestCrashedOwnersDeviceIsTakenOver(t *testing.T) {
	m, o, pages := uioMachine(t)
	m.bind(first, "uio_pci_generic")
	m.file("uio_pci_generic", "sys/bus/pci/devices", first, "driver_override")
	m.file(`{"pid":4711,"origin":{"driver":"virtio-pci","override":""}}`, "run/virtio-"+first+".lock")
	left := filepath.Join(pages, "csi-9p-"+first+"-1")
	others := filepath.Join(pages, "csi-9p-"+second+"-1")
	for _, name := range []string{left, others} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := mustOpen(t, o)
	if len(m.written) > 0 {
		t.Errorf("written: %q, and it was bound already", m.written)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pages that were left: %v", err)
	}
	if _, err := os.Stat(others); err != nil {
		t.Errorf("another device's pages: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	m.untouched(first)
}

// TestDeviceIsGivenBackToItsOwnDriver has an administrator who bound it for us.
func TestDeviceIsGivenBackToItsOwnDriver(t *testing.T) {
	m, o, _ := uioMachine(t)
	m.bind(first, "uio_pci_generic")
	m.file("uio_pci_generic", "sys/bus/pci/devices", first, "driver_override")
	d := mustOpen(t, o)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if m.drivers[first] != "uio_pci_generic" || m.override(first) != "uio_pci_generic" {
		t.Errorf("bound to %q, override %q", m.drivers[first], m.override(first))
	}
}

// TestFailedOpenLeavesNoTrace has all that can be missing.
func TestFailedOpenLeavesNoTrace(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*machine)
		want   string
	}{
		"no module":            {func(m *machine) { _ = os.RemoveAll(m.path("sys/bus/pci/drivers/uio_pci_generic")) }, "modprobe uio_pci_generic"},
		"a driver that sulks":  {func(m *machine) { m.refuse = "uio_pci_generic" }, "did not take the device"},
		"no hugetlbfs":         {func(m *machine) { m.mounts("self") }, "no hugetlbfs with pages of 2 MiB is mounted"},
		"pages of 1 GiB alone": {func(m *machine) { m.hugePages("1024M") }, "no hugetlbfs with pages of 2 MiB is mounted"},
		"no vfio":              {func(m *machine) { m.group("7") }, "opening " + "/"},
		"hostile config space": {func(m *machine) {
			s := newSpace()
			s.place(capCommon, 0xffffffff, 0xffffffff)
			m.file(string(s), "sys/bus/pci/devices", first, "config")
		}, "are not in BAR 4"},
	} {
		t.Run(name, func(t *testing.T) {
			m, o, _ := uioMachine(t)
			c.change(m)
			_, err := pci.Open(t.Context(), "share0", o)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), first) {
				t.Errorf("the error is %v, want one that says %q", err, c.want)
			}
			m.untouched(first)
			if b, err := os.ReadFile(m.path("run/virtio-" + first + ".lock")); err == nil && len(b) != 0 {
				t.Errorf("the lock file says %q", b)
			}
		})
	}
}

// TestReadOnlySysfs is told of once: nothing was changed that would have to be given back.
func TestReadOnlySysfs(t *testing.T) {
	m, o, _ := uioMachine(t)
	sys := m.path("sys")
	for _, flags := range []uintptr{unix.MS_BIND, unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY} {
		if err := unix.Mount(sys, sys, "", flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(sys, 0); err != nil {
			t.Error(err)
		}
	})
	_, err := pci.Open(t.Context(), "share0", o)
	if err == nil || strings.Count(err.Error(), "needs a writable /sys") != 1 {
		t.Errorf("the error is %v", err)
	}
}

// group puts an IOMMU before the first device.
func (m *machine) group(name string) {
	m.t.Helper()
	if err := os.Symlink("../../../kernel/iommu_groups/"+name, m.path("sys/bus/pci/devices", first, "iommu_group")); err != nil {
		m.t.Fatal(err)
	}
}

// TestUnconfirmedResetKeepsEverything: while the device may still write, nothing of it is freed or given to another.
func TestUnconfirmedResetKeepsEverything(t *testing.T) {
	m, o, pages := uioMachine(t)
	d := mustOpen(t, o)
	b, free, err := d.Alloc(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Map(b); err != nil {
		t.Fatal(err)
	}
	m.stuck = true
	if err := d.Close(); err == nil || !strings.Contains(err.Error(), "has not confirmed its reset") {
		t.Errorf("Close: %v", err)
	}
	if names, _ := filepath.Glob(pages + "/*"); len(names) != 1 || m.drivers[first] != "uio_pci_generic" {
		t.Errorf("bound to %q, pages in %q", m.drivers[first], names)
	}
	if _, err := pci.Open(t.Context(), "share0", o); !errors.Is(err, pci.ErrInUse) {
		t.Errorf("another owner meanwhile: %v", err)
	}
	m.stuck = false
	if err := errors.Join(d.Close(), free()); err != nil {
		t.Errorf("once it has confirmed: %v", err)
	}
	m.untouched(first)
}

// TestUnconfirmedResetWithoutMemory: what knows of no memory can't reach any, and the next one may try.
func TestUnconfirmedResetWithoutMemory(t *testing.T) {
	m, o, _ := uioMachine(t)
	d := mustOpen(t, o)
	m.stuck = true
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	m.keptUntilItConfirms(o)
}

// keptUntilItConfirms checks that the first device, which is stuck, was not given back, and is once it confirms its reset.
func (m *machine) keptUntilItConfirms(o pci.Options) {
	m.t.Helper()
	if m.drivers[first] != "uio_pci_generic" {
		m.t.Errorf("given to %q, which would wait for it without end", m.drivers[first])
	}
	m.stuck = false
	if err := mustOpen(m.t, o).Close(); err != nil {
		m.t.Fatal(err)
	}
	m.untouched(first)
}

// TestUnconfirmedResetAtOpen: a device that an owner before has left running stays as it is.
func TestUnconfirmedResetAtOpen(t *testing.T) {
	m, o, pages := uioMachine(t)
	left := filepath.Join(pages, "csi-9p-"+first+"-1")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m.stuck = true
	if _, err := pci.Open(t.Context(), "share0", o); err == nil || !strings.Contains(err.Error(), "has not confirmed its reset") {
		t.Errorf("Open: %v", err)
	}
	if _, err := os.Stat(left); err != nil {
		t.Errorf("its pages: %v", err)
	}
	m.keptUntilItConfirms(o)
}

func TestQueueIsSetUp(t *testing.T) {
	m, o, _ := uioMachine(t)
	d := mustOpen(t, o)
	d.SetFeatures(virtio.FeatureMountTag | virtio.FeatureVersion1)
	if err := d.EnableQueue(virtio.Queue{Size: 64, Desc: 0x1_1234_6000, Avail: 0x2_0000_1000, Used: 0x3_0000_2000}); err != nil {
		t.Fatal(err)
	}
	d.Notify()
	bar, err := os.ReadFile(m.path("sys/bus/pci/devices", first, "resource4"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct {
		name string
		at   int
		want string
	}{
		{"driver_feature", driverFeature, "\x01\x00\x00\x00"}, // the upper half came last
		{"config_msix_vector", configVector, "\xff\xff"},
		{"queue_size", 24, "\x40\x00"},
		{"queue_msix_vector", 26, "\xff\xff"},
		{"queue_enable", 28, "\x01\x00"},
		{"queue_desc", 32, "\x00\x60\x34\x12\x01\x00\x00\x00"},
		{"queue_driver", 40, "\x00\x10\x00\x00\x02\x00\x00\x00"},
		{"queue_device", 48, "\x00\x20\x00\x00\x03\x00\x00\x00"},
	} {
		if got := string(bar[r.at : r.at+len(r.want)]); got != r.want {
			t.Errorf("%s is %x, want %x", r.name, got, r.want)
		}
	}
	if d.QueueSize() != 64 {
		t.Errorf("the queue has %d elements", d.QueueSize())
	}
}

func TestInterruptsAndWakesEndAWait(t *testing.T) {
	m, o, _ := uioMachine(t)
	d := mustOpen(t, o)
	line, err := os.OpenFile(m.path("dev/uio0"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	bar, err := os.OpenFile(m.path("sys/bus/pci/devices", first, "resource4"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer bar.Close()
	interrupt := func(cause byte) {
		t.Helper()
		if _, err := bar.WriteAt([]byte{cause}, isrAt); err != nil {
			t.Fatal(err)
		}
		m.mask()
		if _, err := line.Write([]byte{1, 0, 0, 0}); err != nil {
			t.Fatal(err)
		}
	}
	type result struct {
		changed bool
		err     error
	}
	waits := make(chan result)
	wait := func() { changed, err := d.Wait(); waits <- result{changed, err} }
	for _, c := range []struct {
		name  string
		raise func()
		want  result
	}{
		{"the queue", func() { interrupt(1) }, result{}},
		{"a wake", d.Wake, result{}},
		{"a configuration change", func() { interrupt(3) }, result{changed: true}},
		{"a wake again", d.Wake, result{}},
	} {
		go wait()
		c.raise()
		if got := <-waits; got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if m.masked() {
			t.Errorf("%s: the line stays masked", c.name)
		}
	}
	d.Wake() // before the wait
	go wait()
	if got := <-waits; got != (result{}) {
		t.Errorf("a wake that came first: %+v", got)
	}
}

// mask masks the INTx line, as uio_pci_generic does when it raises an interrupt.
func (m *machine) mask() {
	m.t.Helper()
	f, err := os.OpenFile(m.path("sys/bus/pci/devices", first, "config"), os.O_RDWR, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{4}, 5); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) masked() bool {
	m.t.Helper()
	b, err := os.ReadFile(m.path("sys/bus/pci/devices", first, "config"))
	if err != nil {
		m.t.Fatal(err)
	}
	return b[5]&4 != 0
}

// TestMemoryIsOfNamedFiles has pages of an ordinary file stand in for huge ones; their addresses are the kernel's.
func TestMemoryIsOfNamedFiles(t *testing.T) {
	_, o, pages := uioMachine(t)
	d := mustOpen(t, o)
	b, free, err := d.Alloc(3 << 20)
	if err != nil {
		t.Fatal(err)
	}
	names, _ := filepath.Glob(pages + "/csi-9p-" + first + "-*")
	if len(names) != 1 || len(b) != 3<<20 {
		t.Fatalf("%d bytes in %q", len(b), names)
	}
	if s, err := os.Stat(names[0]); err != nil || s.Size() != 4<<20 {
		t.Errorf("whole pages: %v, %v", s, err)
	}
	extents, err := d.Map(b)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, e := range extents {
		if e.Addr == 0 || e.Addr%4096 != 0 {
			t.Errorf("an extent at %#x", e.Addr)
		}
		total += e.Len
	}
	if total != len(b) {
		t.Errorf("%d of %d bytes are mapped", total, len(b))
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	b[0], b[len(b)-1] = 1, 1 // it outlives the device
	if err := mustOpen(t, o).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(names[0]); err != nil {
		t.Errorf("pages that are in use were taken for left ones: %v", err)
	}
	if err := free(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(names[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("freed pages: %v", err)
	}
}

func TestOtherMemoryIsRefused(t *testing.T) {
	_, o, _ := uioMachine(t)
	d := mustOpen(t, o)
	b, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(b) }()
	if _, err := d.Map(b); err == nil || !strings.Contains(err.Error(), "2 MiB pages") {
		t.Errorf("the error is %v", err)
	}
}

// TestMissingPagesAreNoticed has a file system that is full, as a hugetlbfs is without free pages or beyond a cgroup's limit: to touch
// a page that is not there would kill the process.
func TestMissingPagesAreNoticed(t *testing.T) {
	_, o, pages := uioMachine(t)
	if err := unix.Mount("none", pages, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(pages, 0); err != nil {
			t.Error(err)
		}
	})
	d := mustOpen(t, o)
	if _, _, err := d.Alloc(1 << 20); err == nil || !strings.Contains(err.Error(), "hugepages-2Mi") {
		t.Errorf("the error is %v", err)
	}
	if names, _ := filepath.Glob(pages + "/*"); len(names) != 0 {
		t.Errorf("left: %q", names)
	}
}

// TestMemoryOfAClosedDevice: a session without a connection, whose device was closed, may still need memory for the next one.
func TestMemoryOfAClosedDevice(t *testing.T) {
	_, o, _ := uioMachine(t)
	d := mustOpen(t, o)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	b, free, err := d.Alloc(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, o)
	if _, err := again.Map(b); err != nil {
		t.Errorf("the next device does not reach it: %v", err)
	}
	if err := errors.Join(again.Close(), free()); err != nil {
		t.Error(err)
	}
}
