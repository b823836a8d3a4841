package v9fs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"google.golang.org/grpc/codes"
	"k8s.io/klog/v2"
	mount "k8s.io/mount-utils"
)

const (
	// flushLimit bounds the wait for a server that lives to take a volume's last pages.
	flushLimit = 30 * time.Second
	// lostCheck is how often it is asked whether it does, and askTimeout for how long.
	lostCheck  = time.Second
	askTimeout = 2 * time.Second
)

// Unstage takes the volume off path and off its place, and its share with the last volume. A volume that is not mounted is no
// error. A server that does not answer is not waited for: the mounts are out of the tree at once, and the kernel lets go of the
// rest when its connection ends.
func (m *Mounts) Unstage(ctx context.Context, id, path string) error {
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	if err := m.detach(ctx, path); err != nil {
		return err
	}
	place := m.place(id)
	at, err := mountpoint.At(place)
	if err != nil {
		return err
	}
	if err := m.release(ctx, place); err != nil {
		return err
	}
	if err := m.release(ctx, m.ownShare(id)); err != nil || len(at) == 0 {
		return err
	}
	return m.releaseUnused(ctx, at[len(at)-1])
}

// releaseUnused takes down the share that a volume was of, if nothing else is mounted of it.
func (m *Mounts) releaseUnused(ctx context.Context, volume mount.MountInfo) error {
	m.devices.Lock()
	defer m.devices.Unlock()
	table, err := mountpoint.Table()
	if err != nil {
		return err
	}
	var share string
	for _, info := range table {
		switch {
		case !mountpoint.SameFilesystem(info, volume):
		case filepath.Dir(info.MountPoint) == filepath.Join(m.dir, "shares"):
			share = info.MountPoint
		default:
			return nil
		}
	}
	if share == "" {
		return nil
	}
	return m.release(ctx, share)
}

// release unmounts a place of ours and removes its directory.
func (m *Mounts) release(ctx context.Context, place string) error {
	if err := m.detach(ctx, place); err != nil {
		return err
	}
	if err := os.Remove(place); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// detach unmounts whatever is at path. umount2(2) of a file system's last mount writes its pages back before it returns, for which it
// waits for a server that lives and not for one that is lost.
func (m *Mounts) detach(ctx context.Context, path string) error {
	at, err := mountpoint.At(path)
	if err != nil || len(at) == 0 {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- m.mounter.Unmount(path) }()
	tick := time.NewTicker(lostCheck)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			left, err := mountpoint.At(path)
			if err == nil && len(left) == 0 && lost(ctx, at[len(at)-1]) {
				klog.FromContext(ctx).Info("Unmounted a volume whose server is lost; the kernel lets go of it when its connection ends", "path", path)
				return nil
			}
		case <-ctx.Done():
			return driver.Errorf(codes.DeadlineExceeded, "%s is unmounted and its last pages are still being written to the server; try again", path)
		}
	}
}

// lost tells whether the server of a mount does not answer. A caller who leaves before that learns nothing.
func lost(ctx context.Context, m mount.MountInfo) bool {
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return Alive(asking, m) != nil && ctx.Err() == nil
}
