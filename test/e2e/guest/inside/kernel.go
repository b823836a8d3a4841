package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
)

// kernelEngine takes two volumes at once through the driver with engine: kernel, which share the session if the share is a
// device's. One outlives the other.
func kernelEngine(ctx context.Context, args []string) error {
	return withDriver(ctx, args, func(r *rig) error {
		var volumes []*volume
		for _, name := range []string{"pvc-kernel-1", "pvc-kernel-2"} {
			v, err := r.create(ctx, name, map[string]string{"engine": "kernel"})
			if err == nil {
				err = v.stage(ctx)
			}
			if err != nil {
				return r.logs(err)
			}
			volumes = append(volumes, v)
		}
		if err := r.logs(workInBoth(ctx, volumes[0], volumes[1])); err != nil {
			return err
		}
		return r.logs(volumes[1].remove(ctx))
	})
}

// workInBoth writes to and reads from two volumes, and takes them down one after the other.
func workInBoth(ctx context.Context, one, two *volume) error {
	for _, v := range []*volume{one, two} {
		if err := v.mountedBy("9p"); err != nil {
			return err
		}
		files, err := writeFiles(v)
		if err == nil {
			err = readFiles(v, files)
		}
		if err == nil {
			err = v.stats(ctx)
		}
		if err != nil {
			return err
		}
	}
	if err := errors.Join(one.unstage(ctx), one.remove(ctx)); err != nil {
		return err
	}
	files, err := writeFiles(two)
	if err != nil {
		return fmt.Errorf("after the other volume was taken down: %w", err)
	}
	if err := errors.Join(two.unstage(ctx), two.stage(ctx), readFiles(two, files)); err != nil {
		return fmt.Errorf("staged again: %w", err)
	}
	return two.unstage(ctx)
}

// mountedBy fails unless the volume's file system in the pod is of that type.
func (v *volume) mountedBy(fstype string) error {
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == v.target() && f[2] == fstype {
			return nil
		}
	}
	return fmt.Errorf("%s is not mounted as %s", v.target(), fstype)
}

// stats asks for the volume's statistics, which a device has none of.
func (v *volume) stats(ctx context.Context) error {
	answer, err := v.node.NodeGetVolumeStats(ctx, &csi.NodeGetVolumeStatsRequest{VolumeId: v.GetVolumeId(), VolumePath: v.target()})
	if strings.HasPrefix(v.share.server, "virtio:") {
		if err == nil {
			return errors.New("the statistics of a device are told")
		}
		return nil
	}
	if err == nil && (len(answer.GetUsage()) == 0 || answer.GetUsage()[0].GetTotal() == 0) {
		err = fmt.Errorf("the statistics are %v", answer)
	}
	return err
}

// patience is how long a call of the node service may take while its server does not answer.
const patience = 15 * time.Second

// kernelEngineLost takes down a volume with engine: kernel whose server is frozen, while a program waits for it: the node service
// does not.
func kernelEngineLost(ctx context.Context, _ []string) (err error) {
	const url = "tcp://127.0.0.1:5641"
	dir, err := os.MkdirTemp("", "export-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	server, err := start(dir, "serve", "--listen", url, dir)
	if err != nil {
		return err
	}
	defer func() { _ = server.kill() }() // it is dead by then, where all is well
	if err := server.await(ctx, server.hasLogged("exporting")); err != nil {
		return err
	}
	r, err := startDriver(ctx, share{server: url, controller: url})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	v, err := r.create(ctx, "pvc-lost", map[string]string{"engine": "kernel", "cache": "none"})
	if err == nil {
		err = v.stage(ctx)
	}
	if err != nil {
		return r.logs(err)
	}
	f, err := os.Create(filepath.Join(v.target(), "waiting"))
	if err != nil {
		return err
	}
	if err := server.Process.Signal(unix.SIGSTOP); err != nil {
		return err
	}
	written := make(chan error, 1)
	go func() {
		_, err := f.Write(make([]byte, 1<<20))
		written <- errors.Join(err, f.Close())
	}()
	err = takenDown(ctx, v)
	// What waits goes on only when the connection has ended, and the node service's own thread with it.
	err = errors.Join(err, server.kill())
	if <-written == nil {
		err = errors.Join(err, errors.New("what was written to a server that is gone was taken for written"))
	}
	return r.logs(err)
}

// takenDown asks for the volume's statistics, unpublishes and unstages it, in time.
func takenDown(ctx context.Context, v *volume) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var err error
	if _, told := v.node.NodeGetVolumeStats(limited, &csi.NodeGetVolumeStatsRequest{VolumeId: v.GetVolumeId(), VolumePath: v.target()}); told == nil {
		err = errors.New("a server that is frozen tells statistics")
	}
	return errors.Join(err, v.unstage(limited))
}
