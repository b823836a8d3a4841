package doctor

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport/dial"
)

// checkPrivilege looks for CAP_SYS_ADMIN, without which nothing is mounted.
func checkPrivilege(m *Machine, n need) Check {
	c := Check{Name: "privilege", Status: Fail}
	status, err := m.read("proc/self/status")
	switch {
	case err != nil:
		c.Found, c.Cure = "there is no /proc to see it in", "mount /proc where it runs (mount -t proc proc /proc)"
	case !administers(status):
		c.Found, c.Cure = "may not mount: no CAP_SYS_ADMIN", "run it as root; in a container, with securityContext.privileged: true"
	case m.inUserNamespace(): // where FUSE can be mounted (FS_USERNS_MOUNT of fs/fuse/inode.c, Linux 4.18), and no device be had
		c.Status, c.Found = n.lacking(dial.Virtio), "may mount for its user namespace alone (CAP_SYS_ADMIN there)"
		c.Cure = "for the driver of a node, or a virtio-9p device, run it as the machine's root; in a pod, without hostUsers: false"
	default:
		c.Status, c.Found = OK, "may mount (CAP_SYS_ADMIN)"
	}
	return c
}

// administers tells whether a process has CAP_SYS_ADMIN, by its status (proc_pid_status(5)).
func administers(status string) bool {
	for line := range strings.Lines(status) {
		if value, is := strings.CutPrefix(line, "CapEff:"); is {
			caps, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			return err == nil && caps&(1<<unix.CAP_SYS_ADMIN) != 0
		}
	}
	return false
}

// inUserNamespace tells whether users here are others than the machine's (user_namespaces(7)).
func (m *Machine) inUserNamespace() bool {
	uids, err := m.read("proc/self/uid_map")
	return err == nil && !slices.Equal(strings.Fields(uids), []string{"0", "0", "4294967295"})
}
