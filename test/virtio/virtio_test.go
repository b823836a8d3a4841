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
func TestConformanceL(t *testing.T) {
	conform(t, ninetest.Server{Dialect: ninep.DialectL, Deviations: deviations})
}

// TestConformanceU holds it to those of 9P2000.u, where an error may run into the place of a payload.
func TestConformanceU(t *testing.T) {
	all := maps.Clone(deviations)
	maps.Copy(all, deviationsOfU)
	conform(t, ninetest.Server{Dialect: ninep.DialectU, Deviations: all, Untested: untestedOfU})
}

func conform(t *testing.T, s ninetest.Server) {
	t.Helper()
	s.Dial, s.Aname, s.Root, s.UID, s.OtherUID = findDevices(t).dial, "/", hostRoot(t), 0, otherUID
	ninetest.Run(t, s)
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
	"create/new-file-has-mode-and-group":                    noSpecialBits,
	"create/failure-leaves-the-fid":                         "it opens a file that is there already",
	"getattr/after-unlink-through-an-open-fid":              "a fid is a path, also of an open file",
	"mkdir/mode-owner-and-group":                            noSpecialBits,
	"stat/root-is-a-slash":                                  "the root is called a dot",
	"stat/name-follows-a-rename":                            "a rename leaves other fids of the file at the old name",
	"unix-stat/special-files":                               "it makes no special file: it would open it to set its owner, and opens none (CVE-2023-2861)",
	"directory/whole-entries":                               "it lists . and .. too",
	"directory/offset-continues-or-is-zero":                 "it goes on where it was, whatever the offset is, but for 0",
	"directory/count-too-small-for-an-entry":                "it answers as at the end of the directory",
	"directory/is-not-written":                              "a directory is opened for reading, whatever is asked",
	"wstat/all-at-once":                                     "it truncates after it has set the times",
	"wstat/dont-touch-is-sync":                              "it writes the file to the disk, and hands the request back without a reply",
	"wstat/what-is-may-be-said":                             "it truncates a directory to the length that it has, which fails",
	"wstat/what-cannot-change-is-refused":                   "it ignores what is said of kind, device, qid and the last to modify",
	"classic-open/removes-on-clunk":                         "it ignores the wish to remove the file on clunk",
	"classic-open/truncation-takes-the-permission-to-write": "it ignores uids: every user is QEMU's",
	"classic-create/existing-name-is-refused":               "it opens a file that is there already",
	"classic-create/directory-is-opened":                    "it lists . and .. too",
	"classic-create/directory-is-not-opened-for-writing":    "a directory is opened for reading, whatever is asked",
}

// untestedOfU is what it is not held to in 9P2000.u.
var untestedOfU = map[string]string{
	"setattr/times-now":           "9P2000.u has no word for now: it is the guest's, and files have the host's",
	"wstat/bad-names-are-refused": slashAborts,
	"wstat/all-or-nothing":        slashAborts,
}

const (
	// noSpecialBits is what becomes of setuid, setgid and sticky bits.
	noSpecialBits = "a new file has its permissions only, not the setuid, setgid and sticky bits that are asked for"
	// slashAborts is what becomes of the machine; the client sends no such name.
	slashAborts = "a slash in the new name of a Twstat aborts QEMU (hw/9pfs/9p-local.c, local_name_to_path)"
)

// everyLock is QEMU's way with locks.
const everyLock = "it grants every lock, and keeps none"
