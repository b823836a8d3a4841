// Package virtio_test runs what needs a real virtio-9p device. The guest lab
// (make guest) builds it, and runs it in a virtual machine that has several with
// the same directory, because each has one client at a time.
package virtio_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/ninetest"
	"github.com/csi-9p/csi-9p/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m, nil) }

// otherUID is a user that owns nothing; it need not exist.
const otherUID = 1234

// hostRoot is the directory of the devices by way of the kernel's client.
func hostRoot(t *testing.T) string {
	t.Helper()
	dir := lab.Dir(t)
	err := unix.Mount(os.Getenv("CSI9P_TEST_KERNEL_9P"), dir, "9p", 0, "trans=virtio,version=9p2000.L,msize=512000,cache=none")
	if err != nil {
		t.Fatalf("mount the share by the kernel's client: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestConformanceL holds QEMU's server to the rules of 9P2000.L.
func TestConformanceL(t *testing.T) { conform(t, ninep.DialectL) }

// TestConformanceU holds it to those of 9P2000.u, where an error may run into the place of a payload.
func TestConformanceU(t *testing.T) { conform(t, ninep.DialectU) }

func conform(t *testing.T, dialect ninep.Dialect) {
	t.Helper()
	ninetest.Run(t, ninetest.Server{
		Dial: findDevices(t).dial, Dialect: dialect,
		Aname: "/", Root: hostRoot(t), UID: 0, OtherUID: otherUID,
		Deviations: deviations,
	})
}

// deviations is what QEMU 7.2 does by its own fault.
var deviations = map[string]string{}
