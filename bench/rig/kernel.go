package rig

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// MountKernel mounts a share at unix:// or tcp:// by the kernel's own 9P client, with that cache mode and the largest msize that
// it takes (Linux: Documentation/filesystems/9p.rst). Most distributions' cloud kernels have none.
func (r *Rig) MountKernel(share, cache string) (dir string, unmount func() error, err error) {
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return "", nil, err
	}
	if !bytes.Contains(known, []byte("\t9p\n")) {
		return "", nil, errors.New("this kernel has no 9P client")
	}
	u, err := url.Parse(share)
	if err != nil {
		return "", nil, err
	}
	options := []string{"version=9p2000.L", "access=user", "msize=1048576", "cache=" + cache, "trans=" + u.Scheme}
	source := u.Path
	switch u.Scheme {
	case "unix":
		options = append(options, "aname="+u.Query().Get("aname"))
	case "tcp":
		source = u.Hostname()
		options = append(options, "aname="+u.Path, "port="+u.Port())
	default:
		return "", nil, fmt.Errorf("it does not speak %s://", u.Scheme)
	}
	dir = r.Path("kernel")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", nil, err
	}
	if err := unix.Mount(source, dir, "9p", unix.MS_NOSUID|unix.MS_NODEV, strings.Join(options, ",")); err != nil {
		return "", nil, errors.Join(fmt.Errorf("mount -t 9p: %w", err), os.Remove(dir))
	}
	return dir, func() error { return errors.Join(unix.Unmount(dir, unix.MNT_DETACH), os.Remove(dir)) }, nil
}
