package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// vsock exports a directory of the guest on a vsock and mounts it, at the context id of the guest itself, through the
// kernel's vsock_loopback.
func vsock(ctx context.Context, _ []string) (err error) {
	const url = "vsock://1:5640"
	dir, err := os.MkdirTemp("", "vsock-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	export, mount := filepath.Join(dir, "export"), filepath.Join(dir, "mount")
	if err := errors.Join(os.Mkdir(export, 0o755), os.Mkdir(mount, 0o755)); err != nil {
		return err
	}
	server, err := start(dir, "serve", "--listen", "vsock://4294967295:5640", export)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.end()) }()
	if err := server.await(ctx, server.hasLogged("exporting")); err != nil {
		return err
	}
	client, err := startMount(ctx, dir, url, mount, "cache=close-to-open")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Unmount(mount, 0), client.wait()) }()
	return sameOnBothSides(mount, export)
}

// sameOnBothSides writes files of several sizes through a mount, looks at them in the directory that is served, and the
// other way round.
func sameOnBothSides(mount, export string) error {
	for i, size := range []int{0, 1, 4095, 1<<20 + 1, 9 << 20} {
		for _, way := range [][2]string{{mount, export}, {export, mount}} {
			name := fmt.Sprintf("%d-%s", i, filepath.Base(way[0]))
			sum, err := writeRandom(filepath.Join(way[0], name), size)
			if err != nil {
				return err
			}
			content, err := os.ReadFile(filepath.Join(way[1], name))
			if err != nil {
				return err
			}
			if digest(content) != sum {
				return fmt.Errorf("%d bytes written to %s, %d other bytes are in %s", size, way[0], len(content), way[1])
			}
		}
	}
	return nil
}
