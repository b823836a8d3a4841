package node

import (
	"errors"
	"fmt"
	"os"

	"github.com/csi-9p/csi-9p/node/fuse"
	"golang.org/x/sys/unix"
)

// Check reports what this process lacks to mount volumes: the privilege, or the
// device. Neither comes to a container while it runs.
func Check() error {
	var caps [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	if os.Geteuid() != 0 || caps[0].Effective&(1<<unix.CAP_SYS_ADMIN) == 0 {
		return errors.New("the node service may not mount; run it as root with CAP_SYS_ADMIN, in a container with securityContext.privileged: true")
	}
	dev, err := openDevice()
	if err != nil {
		return err
	}
	return dev.Close()
}

// openDevice opens /dev/fuse for a mount.
func openDevice() (*os.File, error) {
	dev, err := fuse.OpenDevice()
	if err != nil {
		return nil, fmt.Errorf("%w; load the kernel module by 'modprobe fuse' and give the node service the device", err)
	}
	return dev, nil
}
