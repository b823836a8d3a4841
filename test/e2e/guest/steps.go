package guest

import (
	"time"

	"github.com/csi-9p/csi-9p/test/e2e/guest/order"
	"github.com/csi-9p/csi-9p/test/e2e/guest/qemu"
)

// step is one thing that a guest shows.
type step struct {
	name, about string
	on          func(guestKind) bool // nil: every guest
	args        []string
	env         []string
	timeout     time.Duration // 0: a minute
}

// order is the step as the guest is told of it.
func (s step) order() order.Step {
	if s.timeout == 0 {
		s.timeout = time.Minute
	}
	return order.Step{Name: s.name, Args: s.args, Env: s.env, Timeout: s.timeout}
}

// guestKind is what guests differ in.
type guestKind struct {
	newest bool // its kernel is
	iommu  bool
}

// test is the call of a test program, for the tests that match.
func test(program, pattern string) []string {
	return []string{"/bin/" + program, "-test.v", "-test.run", pattern, "-test.failfast"}
}

// inside is the call of a scenario of the program inside.
func scenario(args ...string) []string { return append([]string{"/init"}, args...) }

// steps are what the lab shows, in this order.
var steps = []step{
	{name: "v9fs", about: "the guest has the share: the kernel's own client mounts it, the host sees what it writes",
		args: scenario("v9fs", qemu.Tag)},
	{name: "vsock-transport", about: "the vsock transport carries messages",
		args: test("dial.test", "^TestVSock$")},
	{name: "vsock-mount", about: "an exporter and a mount on a vsock: what one side writes, the other reads",
		args: scenario("vsock")},
}
