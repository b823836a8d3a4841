package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/csi-9p/csi-9p/transport/dial"
)

// vsockTransports are the modules that carry vsock, and what each is for.
var vsockTransports = []struct{ name, use string }{
	{"vmw_vsock_virtio_transport", "to the host of this guest"},
	{"vhost_vsock", "to guests of this host"},
	{"vsock_loopback", "within this machine"},
}

// checkVSock looks for vsock and what carries it.
func checkVSock(m *Machine, n need) Check {
	c := Check{Name: "vsock", Status: n.lacking(dial.VSock)}
	cid, err := m.VSock()
	if err != nil {
		c.Found = err.Error()
		switch {
		case errors.Is(err, fs.ErrPermission):
			c.Cure = "run it as root; in a container, privileged"
		case m.module("vsock") == loaded:
			c.Cure = "give the container the device /dev/vsock"
		default:
			c.Cure = "give the VM a vsock device (-device vhost-vsock-pci,guest-cid=N) and " + modprobe(m.module("vmw_vsock_virtio_transport"), "vmw_vsock_virtio_transport")
		}
		return c
	}
	var carried []string
	for _, t := range vsockTransports {
		if m.module(t.name) == loaded {
			carried = append(carried, t.use)
		}
	}
	c.Found = fmt.Sprintf("context id %d, %s", cid, strings.Join(carried, ", "))
	if c.Status = OK; len(carried) == 0 {
		c.Status, c.Found = n.lacking(dial.VSock), "/dev/vsock is there and nothing that carries it"
		c.Cure = modprobe(m.module("vmw_vsock_virtio_transport"), "vmw_vsock_virtio_transport") + " in a guest, vhost_vsock on a host"
	}
	return c
}
