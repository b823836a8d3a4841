package guest

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/csi-9p/csi-9p/test/e2e/guest/order"
	"github.com/csi-9p/csi-9p/test/e2e/guest/qemu"
)

// step is one thing that a guest shows.
type step struct {
	name, about string
	on          func(guestKind) bool // nil: every guest
	args        func(site) []string  // the program and its arguments
	env         func(site) []string  // nil: none
	timeout     time.Duration        // 0: defaultTimeout
	alone       bool                 // it measures: no other guest does anything meanwhile
}

// defaultTimeout is some ten times what a step takes whose processors are emulated by a machine that does nothing else.
const defaultTimeout = 5 * time.Minute

// guestKind is what guests differ in.
type guestKind struct {
	newest bool // its kernel is
	iommu  bool
}

// What takes long, or has nothing to do with the device, is shown by two guests, which between them have each kernel and each way to
// the device once. Both pairs have about as much to do.
func onePair(k guestKind) bool   { return k.iommu == k.newest }
func otherPair(k guestKind) bool { return k.iommu != k.newest }

// site is where a step runs.
type site struct {
	guestKind
	exporter string // URL of the share by way of csi-9p serve on this machine
}

// server is the URL of the share by virtio.
func (x site) server() string { return "virtio://" + qemu.Tags[0] }

// flags are those that csi-9p needs to drive the device.
func (x site) flags() []string {
	if x.iommu {
		return nil
	}
	return []string{"--allow-unsafe-dma"}
}

// order is the step as the guest is told of it.
func (s step) order(x site) order.Step {
	o := order.Step{Name: s.name, Args: s.args(x), Timeout: s.timeout}
	if s.env != nil {
		o.Env = s.env(x)
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	return o
}

// test is the call of a test program, for the tests that match, in their short form.
func test(program, pattern string) func(site) []string {
	return func(site) []string {
		return []string{"/bin/" + program, "-test.v", "-test.short", "-test.run", pattern}
	}
}

// scenario is the call of a scenario of the program inside.
func scenario(args ...string) func(site) []string {
	return func(site) []string { return append([]string{"/init"}, args...) }
}

// onNetwork is the call of a scenario with the share by way of the exporter on this machine.
func onNetwork(name string) func(site) []string {
	return func(x site) []string { return []string{"/init", name, x.exporter, x.exporter} }
}

// onDevice is the call of a scenario with the share by way of the device.
func onDevice(name string) func(site) []string {
	return func(x site) []string { return append([]string{"/init", name, x.server(), x.exporter}, x.flags()...) }
}

// steps are what the lab shows, in this order.
var steps = slices.Concat(systemSteps, virtioSteps, networkSteps, benchSteps)

// systemSteps show that the guest is what the others take it for.
var systemSteps = []step{
	{name: "v9fs", about: "the guest has the share: the kernel's own client mounts it, the host sees what it writes",
		args: scenario("v9fs", qemu.Tags[0])},
	{name: "vsock-transport", about: "the vsock transport carries messages",
		args: test("dial.test", "^TestVSock$")},
	{name: "vsock-mount", about: "an exporter and a mount on a vsock: what one side writes, the other reads",
		args: scenario("vsock")},
}

// virtioSteps show the driver on the virtio-9p device.
var virtioSteps = []step{
	{name: "virtio-doctor", about: "doctor tells whether the device can be had, and why not, and gives it back",
		args: onDevice("doctor")},
	{name: "virtio-in-use", about: "a device has one owner: others are refused and told which",
		args: onDevice("in-use")},
	{name: "virtio-conformance-L", about: "QEMU's server keeps the rules of 9P2000.L, through our transport",
		on: onePair, args: test("virtio.test", "^TestConformanceL$"), env: testEnv, timeout: 10 * time.Minute},
	{name: "virtio-conformance-u", about: "and those of 9P2000.u, but for what it is known to break",
		on: otherPair, args: test("virtio.test", "^TestConformanceU$"), env: testEnv, timeout: 10 * time.Minute},
	{name: "virtio-device", about: "the device is taken from the kernel, driven, reset and given back; what cannot be is refused",
		args: test("pci.test", "^TestDevice"), env: func(x site) []string { return []string{"CSI9P_TEST_VIRTIO=" + qemu.Tags[0]} }},
	{name: "virtio-driver", about: "a volume from CreateVolume to DeleteVolume, its files compared on the host",
		args: onDevice("driver")},
	{name: "virtio-node-deployment", about: "the same with a controller on the node, which reaches the device through the mounter that owns it",
		args: func(x site) []string {
			return append([]string{"/init", "driver", x.server(), x.server()}, x.flags()...)
		}},
	{name: "virtio-tree", about: "a tree of files, copied and compared, mounted anew and compared",
		on: otherPair, args: onDevice("tree")},
	{name: "virtio-killed-mounter", about: "a mounter killed at work, three times: its successor has the device again",
		args: onDevice("killed-mounter")},
	{name: "virtio-torture", about: "random operations on files against QEMU's server",
		on: onePair, args: test("mount.test", "^TestTorture$"), env: deviceEnv, timeout: 10 * time.Minute},
	{name: "virtio-given-back", about: "the kernel's client has the device again",
		args: scenario("v9fs", qemu.Tags[0])},
}

// benchSteps compare.
var benchSteps = []step{
	{name: benchName, about: "side by side: the driver on the device, the kernel's client, virtiofs",
		on: func(k guestKind) bool { return k.newest && !k.iommu }, args: onDevice("bench"), timeout: 15 * time.Minute, alone: true},
}

// benchName is the name of the step whose result is the table.
const benchName = "bench"

// networkSteps show the driver on the guest's kernel, with the share from the network.
var networkSteps = []step{
	{name: "tcp-driver", about: "a volume from CreateVolume to DeleteVolume over TCP, its files compared on the host",
		on: otherPair, args: onNetwork("driver")},
	{name: "tcp-killed-mounter", about: "a mounter killed at work over TCP: its successor serves the volume",
		on: otherPair, args: onNetwork("killed-mounter")},
	{name: "tcp-kernel-engine", about: "volumes with engine: kernel over TCP, mounted by the guest's own client",
		on: otherPair, args: onNetwork("kernel-engine")},
	{name: "kernel-engine-lost", about: "a volume with engine: kernel whose server is frozen is taken down while a program waits for it",
		on: otherPair, args: scenario("kernel-engine-lost")},
	{name: "virtio-kernel-engine", about: "volumes with engine: kernel on one device, which share its session",
		on: otherPair, args: func(x site) []string {
			return []string{"/init", "kernel-engine", "virtio://" + qemu.KernelTags[0], x.exporter}
		}},
	{name: "torture", about: "random operations on files, on this kernel's FUSE, against the exporter",
		on: onePair, args: test("mount.test", "^TestTorture$/exporter"), env: testEnv, timeout: 10 * time.Minute},
}

// testEnv has the tests of this repository use what the guest has.
func testEnv(x site) []string {
	return []string{
		"CSI9P_TEST_BINARY=/bin/csi-9p",
		"CSI9P_TEST_VIRTIO=" + strings.Join(qemu.Tags, " "),
		"CSI9P_TEST_KERNEL_9P=" + qemu.KernelTags[0],
		"CSI9P_TEST_UNSAFE_DMA=" + strconv.FormatBool(!x.iommu),
	}
}

// deviceEnv has them mount the share by way of the device.
func deviceEnv(x site) []string {
	return append(testEnv(x), "CSI9P_TEST_SERVER="+x.server(), "CSI9P_TEST_MOUNT_FLAGS="+strings.Join(x.flags(), " "))
}
