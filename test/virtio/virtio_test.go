// Package virtio_test runs what needs a real virtio-9p device. The guest lab
// (make guest) builds it, and runs it in a virtual machine that has several with
// the same directory, because each has one client at a time.
package virtio_test

import (
	"maps"
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
func TestConformanceL(t *testing.T) { conform(t, ninep.DialectL, deviations) }

// TestConformanceU holds it to those of 9P2000.u, where an error may run into the place of a payload.
func TestConformanceU(t *testing.T) {
	all := maps.Clone(deviations)
	maps.Copy(all, deviationsOfU)
	conform(t, ninep.DialectU, all)
}

func conform(t *testing.T, dialect ninep.Dialect, deviations map[string]string) {
	t.Helper()
	ninetest.Run(t, ninetest.Server{
		Dial: findDevices(t).dial, Dialect: dialect,
		Aname: "/", Root: hostRoot(t), UID: 0, OtherUID: otherUID,
		Deviations: deviations,
	})
}

// deviations is what QEMU 7.2 does by its own fault, as root with
// security_model=none.
var deviations = map[string]string{
	"version/msize-is-never-raised":                  "msize is a signed number there: 2 GiB and more are refused",
	"attach/missing-aname-is-refused":                "it ignores aname",
	"attach/keeps-other-uids-out":                    "it ignores uids: every user is QEMU's",
	"open/permission-is-checked":                     "it ignores uids: every user is QEMU's",
	"errno/not-the-owner":                            "it ignores uids: every user is QEMU's",
	"walk/from-an-open-fid-is-refused":               "an open fid can be walked from",
	"open/directory-is-not-writable":                 "a directory is opened for reading, whatever is asked",
	"create/without-exclusive-opens-what-exists":     "it sets the mode of a file that is there already",
	"create/bad-names-are-refused":                   "names that no file has are refused, others are taken",
	"readdir/count-too-small-for-an-entry":           "it answers as at the end of the directory",
	"readdir/types-and-qids":                         "it makes no special file: it would open it to set its owner, and opens none (CVE-2023-2861)",
	"mknod/every-type":                               "it makes no special file: it would open it to set its owner, and opens none (CVE-2023-2861)",
	"mknod/devices-need-root":                        "it makes no special file: it would open it to set its owner, and opens none (CVE-2023-2861)",
	"setattr/all-at-once":                            "it truncates after it has set the times",
	"setattr/after-unlink-through-an-open-fid":       "a fid is a path, also of an open file",
	"mkdir/fid-of-a-removed-directory-makes-nothing": "the fid of a removed directory cannot be copied either",
	"lock/write-lock-excludes-other-sessions":        everyLock,
	"lock/read-locks-are-shared":                     everyLock,
	"lock/ranges-are-separate":                       everyLock,
	"lock/owners-of-one-session-conflict":            everyLock,
	"lock/one-owner-changes-its-locks":               everyLock,
	"lock/getlock-names-the-conflict":                everyLock,
	"lock/released-by-disconnect":                    everyLock,
	"lock/seen-by-the-servers-processes":             everyLock,
}

// deviationsOfU is what it does besides that in 9P2000.u.
var deviationsOfU = map[string]string{
	"wstat/dont-touch-is-sync": "it writes the file to the disk, and hands the request back without a reply",
}

// everyLock is QEMU's way with locks.
const everyLock = "it grants every lock, and keeps none"
