package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/e2e/guest/order"
)

// lifeOfAVolume takes a volume through the driver from its creation to its deletion. What is written there is looked at on
// the host's side of the share.
func lifeOfAVolume(ctx context.Context, args []string) error {
	return withVolume(ctx, args, func(v *volume) error {
		files, err := writeFiles(v)
		if err != nil {
			return err
		}
		if err := v.unstage(ctx); err != nil { // nothing is cached any more
			return err
		}
		if err := v.stage(ctx); err != nil {
			return err
		}
		return readFiles(v, files)
	})
}

// withVolume starts the driver, makes and mounts a volume, and takes all back after f. Then the host must have nothing of
// the volume any more.
func withVolume(ctx context.Context, args []string, f func(*volume) error) error {
	return withDriver(ctx, args, func(r *rig) error {
		v, err := r.create(ctx, "pvc-guest", nil)
		if err != nil {
			return r.logs(err)
		}
		if err := v.stage(ctx); err != nil {
			return r.logs(err)
		}
		if err := f(v); err != nil {
			return r.logs(errors.Join(err, v.unstage(ctx)))
		}
		if err := errors.Join(v.unstage(ctx), v.remove(ctx)); err != nil {
			return r.logs(err)
		}
		answer, err := ask(order.Question{List: "."})
		if err == nil && slices.Contains(answer.Names, v.name) {
			err = fmt.Errorf("the volume's directory %s is left on the host", v.name)
		}
		return err
	})
}

// sizes are those of the files of a volume.
var sizes = []int{0, 1, 1023, 4096, 65537, 1 << 20, 4<<20 + 3, 33 << 20}

// writeFiles writes files to a volume, and returns their digests by their names, once the host has them.
func writeFiles(v *volume) (map[string]string, error) {
	files := map[string]string{}
	for i, size := range sizes {
		name := fmt.Sprintf("%d/%d", i, size)
		path := filepath.Join(v.target(), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		sum, err := writeRandom(path, size)
		if err != nil {
			return nil, err
		}
		if err := seenOnHost(filepath.Join(v.name, name), sum); err != nil {
			return nil, err
		}
		files[name] = sum
	}
	return files, nil
}

// readFiles fails unless the files have the digests.
func readFiles(v *volume, files map[string]string) error {
	for name, sum := range files {
		content, err := os.ReadFile(filepath.Join(v.target(), name))
		if err != nil {
			return err
		}
		if digest(content) != sum {
			return fmt.Errorf("%s reads as %d other bytes than were written", name, len(content))
		}
	}
	return nil
}

// killedMounter kills the mounter with work under way. Its mounts are gone with it, and its successor has the device again.
func killedMounter(ctx context.Context, args []string) error {
	return withVolume(ctx, args, func(v *volume) error {
		files, err := writeFiles(v)
		if err != nil {
			return err
		}
		for range 3 {
			if err := v.killMounter(ctx); err != nil {
				return err
			}
			if err := readFiles(v, files); err != nil {
				return fmt.Errorf("after the mounter was killed: %w", err)
			}
		}
		return nil
	})
}

// killMounter kills the mounter while a file is being written, and has the volume mounted again by another.
func (v *volume) killMounter(ctx context.Context) error {
	f, err := os.Create(filepath.Join(v.target(), "under-way"))
	if err != nil {
		return err
	}
	defer f.Close()
	begun, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		block := make([]byte, 1<<20)
		_, err := f.WriteAt(block, 0)
		close(begun)
		for err == nil {
			_, err = f.WriteAt(block, 0)
		}
		ended <- err
	}()
	<-begun
	if err := v.mounter.kill(); err != nil {
		return err
	}
	if err := <-ended; !errors.Is(err, unix.ENOTCONN) && !errors.Is(err, unix.ECONNABORTED) {
		return fmt.Errorf("a write to a volume whose mounter is gone: %w, want %w", err, unix.ENOTCONN)
	}
	if err := errors.Join(v.startMounter(ctx), v.unstage(ctx)); err != nil {
		return err
	}
	return v.stage(ctx)
}
