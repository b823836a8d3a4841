package memory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/volume"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/node/mounter"
)

// endTimeout bounds the end of one mount.
const endTimeout = 10 * time.Second

// node is a mounter in this process, and the mounts that the node service makes.
type node struct {
	url     string
	dir     string
	volumes mounter.Volumes
	mounted []string // by mount point, the latest last
}

// mount mounts a directory of the share, and returns where.
func (n *node) mount(ctx context.Context, id string, directory ...string) (dir string, err error) {
	dir = filepath.Join(n.dir, id)
	spec := mounter.Spec{VolumeID: id, Server: n.url, Context: volume.Context{Parameters: params.Defaults(), Directory: directory}}
	if err := n.volumes.Prepare(ctx, spec); err != nil {
		return "", err
	}
	dev, err := fuse.OpenDevice()
	if err != nil {
		return "", err
	}
	defer dev.Close()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	if err := fuse.Mount(dev, dir, fuse.MountOptions{Source: "bench", Subtype: "csi-9p", AllowOther: true, DefaultPermissions: true}); err != nil {
		return "", errors.Join(err, os.Remove(dir))
	}
	n.mounted = append(n.mounted, dir)
	return dir, n.volumes.Serve(ctx, id, dev)
}

// unmount takes a mount off and waits for the end of its volume.
func (n *node) unmount(ctx context.Context, dir string) error {
	if err := errors.Join(fuse.Unmount(dir), os.Remove(dir)); err != nil {
		return err
	}
	for i, m := range n.mounted {
		if m == dir {
			n.mounted = append(n.mounted[:i], n.mounted[i+1:]...)
			break
		}
	}
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	return n.volumes.Release(ctx, filepath.Base(dir))
}

// close takes off what is still mounted.
func (n *node) close() error {
	var errs []error
	for i := len(n.mounted) - 1; i >= 0; i-- {
		errs = append(errs, n.unmount(context.Background(), n.mounted[i]))
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	return errors.Join(append(errs, n.volumes.Close(ctx))...)
}

// Files of a mount that this process serves are opened by system calls alone: os.Open adds a file to the runtime's poller,
// whose epoll_ctl(2) has the kernel ask the file system to POLL, which the runtime that waits for it cannot answer.

// write makes a file of a few bytes.
func write(path string) error {
	return withFile(path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, func(fd int) (int, error) { return unix.Write(fd, []byte("content\n")) })
}

// read reads the beginning of a file.
func read(path string) error {
	var content [512]byte
	return withFile(path, unix.O_RDONLY, func(fd int) (int, error) { return unix.Read(fd, content[:]) })
}

func withFile(path string, flags int, do func(fd int) (int, error)) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	n, err := do(fd)
	if err == nil && n == 0 {
		err = fmt.Errorf("%s is empty", path)
	}
	return errors.Join(err, unix.Close(fd))
}
