package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// tag is the mount tag of the share's device.
func (s share) tag() string { return strings.TrimPrefix(s.server, "virtio://") }

// whileMounted calls f while the kernel's client has the share's device mounted, with the directory.
func whileMounted(s share, f func(dir string) error) (err error) {
	dir, err := os.MkdirTemp("", "kernel-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(dir)) }()
	if err := unix.Mount(s.tag(), dir, "9p", 0, v9fsOptions+"none"); err != nil {
		return fmt.Errorf("mounting %s by the kernel's client: %w", s.tag(), err)
	}
	defer func() { err = errors.Join(err, unix.Unmount(dir, 0)) }()
	return f(dir)
}

// refused fails unless what was tried failed with an error that says why.
func refused(what string, err error, why string) error {
	if err == nil {
		return fmt.Errorf("%s is not refused", what)
	}
	if !strings.Contains(err.Error(), why) {
		return fmt.Errorf("%s is refused, but not because of %q: %w", what, why, err)
	}
	return nil
}

// inUse shows that a device has one owner: whoever else wants it is refused and told who has it, be that the kernel's client
// or another process.
func inUse(ctx context.Context, args []string) error {
	return withDriver(ctx, args, func(r *rig) error {
		v, err := r.create(ctx, "pvc-in-use", nil)
		if err != nil {
			return r.logs(err)
		}
		err = whileMounted(r.share, func(dir string) error {
			return refused("a volume on a device that the kernel has mounted", v.stageOnce(ctx), "mounted on "+dir)
		})
		if err == nil {
			err = v.stage(ctx)
		}
		if err == nil {
			err = errors.Join(r.refusedToOthers(ctx), v.unstage(ctx))
		}
		return r.logs(errors.Join(err, v.remove(ctx)))
	})
}

// refusedToOthers fails if the device that the mounter drives can be had by others.
func (r *rig) refusedToOthers(ctx context.Context) error {
	dir := r.path("other")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	p, err := startMount(ctx, r.dir, r.share.server, dir, "cache=none", r.share.flags...)
	if err == nil {
		err = errors.Join(unix.Unmount(dir, 0), p.wait())
	}
	mounted := whileMounted(r.share, func(string) error { return nil })
	return errors.Join(refused("another mount of the device that the mounter drives", err, "drives it"),
		refused("the kernel's mount of that device", mounted, unix.ENOENT.Error()))
}
