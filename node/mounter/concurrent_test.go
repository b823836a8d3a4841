package mounter_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"golang.org/x/sys/unix"
)

// Callers who get into each other's way, or leave, over volumes that share
// sessions: whatever each is answered, nothing is left at the end.
func TestConcurrentCalls(t *testing.T) {
	nodetest.NoLeaks(t)
	e, m := nodetest.Export(t), nodetest.NewMounter(t)
	idle := nodetest.Descriptors(t)
	specs := make([]mounter.Spec, 4)
	for i := range specs {
		specs[i] = spec(t, e, fmt.Sprint("v", i), "dir")
		specs[i].Context.Parameters.ReconnectTimeout += time.Duration(i % 2)
	}
	var callers sync.WaitGroup
	for i := range 8 {
		dir := nodetest.Dir(t)
		callers.Go(func() {
			for round := range 6 {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				if (i+round)%3 == 0 {
					time.AfterFunc(time.Duration(round)*time.Millisecond, cancel)
				}
				if err := live(ctx, m, specs[(i+round)%len(specs)], dir); !expected(err) {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	callers.Wait()
	for _, s := range specs {
		if err := m.Release(t.Context(), s.VolumeID); err != nil {
			t.Error(err)
		}
	}
	nodetest.Eventually(t, "every session is closed", func() bool { return nodetest.Descriptors(t) <= idle })
	if all, err := m.List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("left behind: %+v, %v", all, err)
	}
}

// live takes a volume through its life, as far as the others let it.
func live(ctx context.Context, m *nodetest.Mounter, s mounter.Spec, dir string) error {
	if err := m.Prepare(ctx, s); err != nil {
		return err
	}
	dev, err := fuse.OpenDevice()
	if err != nil {
		return err
	}
	defer dev.Close()
	if err := fuse.Mount(dev, dir, fuse.MountOptions{Source: "test"}); err != nil {
		return err
	}
	served := m.Serve(ctx, s.VolumeID, dev)
	unmounted := (mountpoint.Mounter{}).Unmount(dir)
	if err := errors.Join(served, unmounted); err != nil {
		return err
	}
	releasing, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	return m.Release(releasing, s.VolumeID)
}

// expected tells the answers that a caller gets because of others, or of its
// own leaving.
func expected(err error) bool {
	for _, cause := range []error{
		nil, context.Canceled, context.DeadlineExceeded, mounter.ErrUnknownVolume, mounter.ErrInUse, unix.EBUSY,
	} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}
