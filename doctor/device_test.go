package doctor_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/csi-9p/csi-9p/doctor"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/virtio"
	"github.com/csi-9p/csi-9p/transport/virtio/pci"
	"github.com/csi-9p/csi-9p/transport/virtio/virtiotest"
)

// guest is a machine with a device, share0, in memory, which an exporter stands behind.
type guest struct {
	*doctor.Machine
	function pci.Function
	refusal  error // of taking the device
	stuck    int   // how often the device does not confirm its reset at the end
	asked    []dial.Options
	exporter *nodetest.Exporter
}

func newGuest(t *testing.T, function pci.Function, changes ...func(*doctor.Machine, map[string]string)) *guest {
	t.Helper()
	content := wellEquipped()
	g := &guest{Machine: machine(content), function: function}
	for _, change := range changes {
		change(g.Machine, content)
	}
	g.Files = files(content)
	g.Virtio = func() ([]pci.Function, error) { return []pci.Function{g.function}, nil }
	g.Dial = func(ctx context.Context, _ dial.URL, o dial.Options) (transport.Conn, error) {
		if g.asked = append(g.asked, o); g.refusal != nil {
			return nil, fmt.Errorf("connecting to virtio://share0: %w", g.refusal)
		}
		if g.exporter == nil {
			g.exporter = nodetest.Export(t)
		}
		device := virtiotest.New(virtiotest.Options{
			Dial: func() (io.ReadWriteCloser, error) {
				return net.Dial("unix", strings.TrimPrefix(g.exporter.URL, "unix://"))
			},
			Broken: func(err error) { t.Errorf("the driver broke the device: %v", err) },
		})
		conn, err := virtio.New(ctx, device, virtio.Options{Memory: o.Memory})
		if err != nil {
			return nil, err
		}
		device.FailResets(g.stuck)
		return conn, nil
	}
	return g
}

func (g *guest) examine(t *testing.T, unsafeDMA bool) doctor.Report {
	t.Helper()
	o := options(t, "virtio://share0")
	o.AllowUnsafeDMA = unsafeDMA
	return doctor.Run(t.Context(), g.Machine, o)
}

// names are those of the checks that there were.
func names(r doctor.Report) string {
	var all []string
	for _, c := range r.Checks {
		all = append(all, c.Name)
	}
	return strings.Join(all, ", ")
}

// isolated and exposed are the device behind an IOMMU and without one.
var (
	isolated = device
	exposed  = pci.Function{Address: "0000:00:05.0", Tag: "share0", Driver: "virtio-pci"}
)

// What a device needs is looked at and what only another would need is not; it is taken, with all the memory of a session, and given
// back.
func TestDevice(t *testing.T) {
	for _, test := range []struct {
		function  pci.Function
		unsafeDMA bool
		ways      string
	}{
		{isolated, false, "virtio-9p devices, IOMMU, vfio, device access, device, dialects"},
		{exposed, true, "virtio-9p devices, IOMMU, uio, huge pages, device access, device, dialects"},
	} {
		g := newGuest(t, test.function)
		r := g.examine(t, test.unsafeDMA)
		if !r.Usable || !strings.Contains(names(r), test.ways) {
			t.Errorf("usable %t: %+v", r.Usable, r.Checks)
		}
		expect(t, find(t, r, "device"), doctor.OK, "64 MiB")
		expect(t, find(t, r, "dialects"), doctor.OK, "9P2000.L")
		expect(t, find(t, r, "writing"), doctor.OK)
		expect(t, find(t, r, "given back"), doctor.OK, "virtio-pci")
		for _, o := range g.asked {
			if o.AllowUnsafeDMA != test.unsafeDMA {
				t.Errorf("the device was asked for with %+v", o)
			}
		}
		empty(t, g.exporter.Root)
	}
}

// What its one way to the device lacks is a failure, with its cure, and the device is left alone.
func TestDeviceWithoutItsWay(t *testing.T) {
	for _, test := range []struct {
		why       string
		function  pci.Function
		unsafeDMA bool
		name      string
		change    func(*doctor.Machine, map[string]string)
		tells     []string
	}{
		{"no vfio", isolated, true, "vfio", edit("lib/modules/6.18/modules.builtin", "", "lib/modules/6.18/modules.dep", "kernel/vfio-pci.ko:"), []string{"modprobe -a vfio_pci"}},
		{"no vfio device", isolated, false, "vfio", edit("dev/vfio/vfio", ""), []string{"/dev/vfio"}},
		{"no uio", exposed, true, "uio", edit("sys/module/uio_pci_generic/x", "", "lib/modules/6.18/modules.dep", "kernel/uio_pci_generic.ko:"), []string{"modprobe -a uio_pci_generic"}},
		{"few huge pages", exposed, true, "huge pages", edit("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "7\n"), []string{"of 7 pages", "vm.nr_hugepages"}},
		{"no hugetlbfs", exposed, true, "huge pages", edit("proc/self/mountinfo", "30 1 0:30 / / rw - ext4 none rw\n"), []string{"mounted nowhere", "mount -t hugetlbfs"}},
		{"no leave", exposed, false, "device access", edit(), []string{"--allow-unsafe-dma"}},
	} {
		t.Run(test.why, func(t *testing.T) {
			g := newGuest(t, test.function, test.change)
			r := g.examine(t, test.unsafeDMA)
			expect(t, find(t, r, test.name), doctor.Fail, test.tells...)
			if r.Usable || len(g.asked) > 0 {
				t.Errorf("usable %t, the device was asked for %d times", r.Usable, len(g.asked))
			}
		})
	}
}

// What only the attempt shows.
func TestDeviceCannotBeTaken(t *testing.T) {
	for _, test := range []struct {
		refusal error
		tells   string
	}{
		{pci.ErrInUse, "one owner"},
		{pci.ErrUnsafeDMA, "--allow-unsafe-dma"},
		{fmt.Errorf("the IOMMU does not remap interrupts: give it intremap=on"), "intremap=on"},
	} {
		g := newGuest(t, isolated)
		g.refusal = test.refusal
		r := g.examine(t, false)
		expect(t, find(t, r, "device"), doctor.Fail, test.tells)
		if strings.Contains(names(r), "dialects") {
			t.Errorf("a server is asked that cannot be reached: %s", names(r))
		}
	}
}

// Pages that an owner left who was killed are in use until the next one has the device, and are no reason not to try.
func TestHugePagesOfAnOwnerThatWasKilled(t *testing.T) {
	r := newGuest(t, exposed, edit("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "7\n")).examine(t, true)
	expect(t, find(t, r, "huge pages"), doctor.Warn, "7 of 64", "crashed")
	expect(t, find(t, r, "device"), doctor.OK)
	if !r.Usable {
		t.Error("the report calls it unusable")
	}
}

// A device that does not confirm its reset is not waited for without end.
func TestDeviceDoesNotLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuest(t, isolated)
		var device *virtiotest.Device
		var conn *virtio.Conn
		g.Dial = func(ctx context.Context, _ dial.URL, o dial.Options) (transport.Conn, error) {
			device = virtiotest.New(virtiotest.Options{Handle: func(*virtiotest.Element) {}})
			var err error
			conn, err = virtio.New(ctx, device, virtio.Options{Memory: o.Memory})
			device.FailResets(1000)
			return conn, err
		}
		expect(t, find(t, g.examine(t, false), "device"), doctor.Fail, "does not confirm", "log of QEMU")
		device.FailResets(0)
		<-conn.Lost()
	})
}

// Who is told to end gives the device back first.
func TestDeviceIsGivenBackAtTheEnd(t *testing.T) {
	g := newGuest(t, isolated)
	dialed := g.Dial
	ctx, end := context.WithCancel(t.Context())
	g.stuck = 2
	g.Dial = func(ctx context.Context, u dial.URL, o dial.Options) (transport.Conn, error) {
		conn, err := dialed(ctx, u, o)
		end()
		return conn, err
	}
	r := doctor.Run(ctx, g.Machine, options(t, "virtio://share0"))
	expect(t, find(t, r, "device"), doctor.OK)
	if r.Usable {
		t.Error("the report calls usable what was not looked at")
	}
}

// A device that the kernel does not have back is told of.
func TestDeviceIsNotGivenBack(t *testing.T) {
	g := newGuest(t, isolated)
	dialed := g.Dial
	g.Dial = func(ctx context.Context, u dial.URL, o dial.Options) (transport.Conn, error) {
		g.function.Driver = "vfio-pci"
		return dialed(ctx, u, o)
	}
	r := g.examine(t, false)
	expect(t, find(t, r, "given back"), doctor.Warn, "vfio-pci", "virtio-pci", "docs/virtio.md")
	if !r.Usable {
		t.Error("the report calls it unusable")
	}
}

// Of the ways to a device that is not there nothing is told.
func TestNoSuchDevice(t *testing.T) {
	g := newGuest(t, pci.Function{Tag: "other"})
	r := g.examine(t, true)
	if last := r.Checks[len(r.Checks)-1]; last.Name != "virtio-9p devices" || last.Status != doctor.Fail {
		t.Errorf("the last check is %+v", last)
	}
}

// Two devices with one tag cannot be told apart.
func TestTwoDevicesWithOneTag(t *testing.T) {
	g := newGuest(t, isolated)
	g.Virtio = func() ([]pci.Function, error) { return []pci.Function{isolated, exposed}, nil }
	r := g.examine(t, true)
	expect(t, find(t, r, "virtio-9p devices"), doctor.Fail, "mount_tag of its own")
}
