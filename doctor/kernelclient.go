package doctor

import "fmt"

// checkKernelClient looks for v9fs, which volumes with engine: kernel are mounted by.
func checkKernelClient(m *Machine, _ need) Check {
	c := Check{Name: "kernel's 9p", Status: OK}
	client, virtio, sockets := m.module("9p"), m.module("9pnet_virtio"), m.module("9pnet_fd")
	c.Found = fmt.Sprintf("9p: %s; 9pnet_virtio: %s; 9pnet_fd, for tcp and unix: %s", client, virtio, sockets)
	if client.usable() && (virtio.usable() || sockets.usable()) {
		if client != loaded {
			c.Cure = "for engine: kernel, " + modprobe(client, "9p")
		}
		return c
	}
	c.Status = Warn
	c.Cure = "engine: embedded needs none; for engine: kernel, " + modprobe(client, "9p", "9pnet_virtio", "9pnet_fd") + " (cloud kernels and the RHEL family leave it out)"
	return c
}
