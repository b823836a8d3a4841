package node

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/shares"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

// flushing is a mount table whose Unmount waits, as umount2(2) does for pages
// that a server does not take, until the connection of dev is aborted.
type flushing struct {
	mountpoint.Mounter
	dev int
}

func (f flushing) Unmount(path string) error {
	buffer := make([]byte, 1<<20+4096)
	for {
		if _, err := unix.Read(f.dev, buffer); err != nil { // INIT first, then nothing until the end
			return f.Mounter.Unmount(path)
		}
	}
}

// answering is a mounter that says how the server fares.
type answering struct {
	Mounter
	status func(ctx context.Context) (mounter.Status, error)
}

func (a answering) Status(ctx context.Context, _ string) (mounter.Status, error) {
	return a.status(ctx)
}

// flushingService has volume v mounted at target; its unmount hangs.
func flushingService(t *testing.T, status func(context.Context) (mounter.Status, error)) (s *Service, target string) {
	t.Helper()
	dir := nodetest.Dir(t)
	target = dir + "/target"
	if err := os.Mkdir(target, 0o755); err != nil {
		t.Fatal(err)
	}
	dev, err := fuse.OpenDevice()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dev.Close() })
	if err := fuse.Mount(dev, target, fuse.MountOptions{Source: sourceOf("v"), Subtype: subtype}); err != nil {
		t.Fatal(err)
	}
	none, err := shares.Open("")
	if err != nil {
		t.Fatal(err)
	}
	if s, err = New(Options{NodeID: "n", Mounter: answering{status: status}, Shares: none}); err != nil {
		t.Fatal(err)
	}
	s.binds = flushing{dev: int(dev.Fd())}
	return s, target
}

func (s *Service) unpublish(t *testing.T, target string, limit time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	_, err := s.NodeUnpublishVolume(ctx, &csi.NodeUnpublishVolumeRequest{VolumeId: "v", TargetPath: target})
	return err
}

func TestUnmountThatWaitsForALostServerIsAborted(t *testing.T) {
	for name, status := range map[string]func(context.Context) (mounter.Status, error){
		"the server is lost": func(context.Context) (mounter.Status, error) {
			return mounter.Status{Since: time.Now().Add(-time.Hour)}, nil
		},
		"the mounter is gone": func(context.Context) (mounter.Status, error) {
			return mounter.Status{}, mounter.ErrUnreachable
		},
		"the mounter hangs": func(ctx context.Context) (mounter.Status, error) {
			<-ctx.Done()
			return mounter.Status{}, ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, target := flushingService(t, status)
			if err := s.unpublish(t, target, 5*time.Second); err != nil {
				t.Error(err)
			}
		})
	}
}

// Pods beside the one that goes still wait for the server.
func TestUnmountOfOneOfManyIsNotAborted(t *testing.T) {
	s, target := flushingService(t, func(context.Context) (mounter.Status, error) {
		return mounter.Status{Since: time.Now().Add(-time.Hour)}, nil
	})
	other := target + "-other"
	if err := errors.Join(os.Mkdir(other, 0o755), unix.Mount(target, other, "", unix.MS_BIND, "")); err != nil {
		t.Fatal(err)
	}
	if err := s.unpublish(t, target, 2*time.Second); driver.Code(err) != codes.DeadlineExceeded {
		t.Errorf("answered %v, want DeadlineExceeded: the kernel is slow", err)
	}
	if _, mounted, err := mountAt(target); err != nil || !mounted {
		t.Errorf("the connection was aborted (%v)", err)
	}
	if err := unix.Unmount(other, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	// Now it is the last.
	if err := s.unpublish(t, target, 5*time.Second); err != nil {
		t.Error(err)
	}
}

func TestUnmountThatWaitsForALiveServer(t *testing.T) {
	lost := make(chan struct{})
	s, target := flushingService(t, func(context.Context) (mounter.Status, error) {
		select {
		case <-lost:
			return mounter.Status{Since: time.Now().Add(-time.Hour)}, nil
		default:
			return mounter.Status{Connected: true}, nil
		}
	})
	for range 2 { // the second call joins what the first one started
		if err := s.unpublish(t, target, 700*time.Millisecond); driver.Code(err) != codes.DeadlineExceeded {
			t.Errorf("answered %v, want DeadlineExceeded", err)
		}
	}
	close(lost)
	if err := s.unpublish(t, target, 5*time.Second); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the target is still there: %v", err)
	}
}

// The end of a caller's patience, while the mounter has not yet said how the
// server fares, says nothing about the server.
func TestUnmountIsNotAbortedBecauseItsCallerLeaves(t *testing.T) {
	asked := make(chan struct{}, 1)
	lost := make(chan struct{})
	s, target := flushingService(t, func(ctx context.Context) (mounter.Status, error) {
		select {
		case <-lost:
			return mounter.Status{Since: time.Now().Add(-time.Hour)}, nil
		case asked <- struct{}{}:
		default:
		}
		<-ctx.Done()
		return mounter.Status{}, ctx.Err()
	})
	if err := s.unpublish(t, target, 700*time.Millisecond); driver.Code(err) != codes.DeadlineExceeded {
		t.Errorf("answered %v, want DeadlineExceeded", err)
	}
	<-asked
	if _, mounted, err := mountAt(target); err != nil || !mounted {
		t.Errorf("the connection was aborted (%v)", err)
	}
	close(lost)
	if err := s.unpublish(t, target, 5*time.Second); err != nil {
		t.Error(err)
	}
}
