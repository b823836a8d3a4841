package doctor

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// checkPrivilege looks for CAP_SYS_ADMIN, without which nothing is mounted.
func checkPrivilege(m *Machine, _ need) Check {
	c := Check{Name: "privilege"}
	status, err := m.read("proc/self/status")
	if err != nil {
		c.Status, c.Found, c.Cure = Fail, "there is no /proc to see it in", "mount /proc where it runs (mount -t proc proc /proc)"
		return c
	}
	for line := range strings.Lines(status) {
		value, is := strings.CutPrefix(line, "CapEff:")
		if !is {
			continue
		}
		caps, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err == nil && caps&(1<<unix.CAP_SYS_ADMIN) != 0 {
			c.Status, c.Found = OK, "may mount (CAP_SYS_ADMIN)"
			return c
		}
	}
	c.Status, c.Found = Fail, "may not mount: no CAP_SYS_ADMIN"
	c.Cure = "run it as root; in a container, with securityContext.privileged: true"
	return c
}
