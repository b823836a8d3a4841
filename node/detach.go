package node

import (
	"context"
	"sync"
	"time"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"google.golang.org/grpc/codes"
	"k8s.io/klog/v2"
	mount "k8s.io/mount-utils"
)

// Unmounting is lazy (MNT_DETACH) and takes a mount out of the tree at once.
// Only the last mount of a file system takes longer: before umount2(2) returns,
// the kernel writes back the pages that were dirtied through mmap. A server
// that lives takes them; one that is lost would let the call wait, uninterruptibly,
// and so the FUSE connection is aborted after lostGrace, which fails them. A mount
// that is not the last is never reason for that, however long a busy kernel takes
// for it: others still wait for the server.
// umount2 therefore runs on a goroutine of its own, which the call that started
// it waits for, and which the abort ends at the latest.
const (
	// lostGrace is how long a server may be gone before it counts as lost.
	lostGrace = 1500 * time.Millisecond
	// askTimeout bounds the question to the mounter whether it is. The mounter
	// asks nobody for the answer: one that is silent that long is frozen, and
	// an abort before that would cost a busy node its last pages.
	askTimeout = 2 * time.Second
	// flushLimit bounds a call that waits for a live server to take the pages,
	// where its own deadline does not. The flush goes on without it.
	flushLimit = 30 * time.Second
)

// unmount is an umount2 under way.
type unmount struct {
	mount mount.MountInfo
	done  chan struct{}
	err   error // set before done is closed
}

// connection is FUSE's number of it.
func (u *unmount) connection() uint32 { return uint32(u.mount.Minor) }

// last tells whether the file system is mounted nowhere else on this node by now.
func (u *unmount) last() bool {
	more, err := elsewhere(u.mount, u.mount.MountPoint)
	return err == nil && !more
}

func (u *unmount) ended() bool {
	select {
	case <-u.done:
		return true
	default:
		return false
	}
}

// during returns a context that ends with the unmount or with ctx, which has to end.
func (u *unmount) during(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		select {
		case <-u.done:
		case <-ctx.Done():
		}
	}()
	return ctx
}

// unmounts are those under way, by path. The zero value is ready.
type unmounts struct {
	mu   sync.Mutex
	busy map[string]*unmount
}

// start unmounts what lies at path, or joins who does. It returns nil if
// nothing is mounted there.
func (us *unmounts) start(binds mount.Interface, path string) (*unmount, error) {
	us.mu.Lock()
	defer us.mu.Unlock()
	if u := us.busy[path]; u != nil {
		return u, nil
	}
	top, mounted, err := mountAt(path)
	if err != nil || !mounted {
		return nil, err
	}
	u := &unmount{mount: top, done: make(chan struct{})}
	if us.busy == nil {
		us.busy = make(map[string]*unmount)
	}
	us.busy[path] = u
	go func() {
		defer close(u.done)
		u.err = binds.Unmount(path)
		us.mu.Lock()
		delete(us.busy, path)
		us.mu.Unlock()
	}()
	return u, nil
}

// detach unmounts whatever of the volume is mounted at path.
func (s *Service) detach(ctx context.Context, path, volumeID string) error {
	u, err := s.unmounts.start(s.binds, path)
	if err != nil || u == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	asking := u.during(ctx)
	tick := time.NewTicker(lostGrace / 3)
	defer tick.Stop()
	for {
		select {
		case <-u.done:
			return local(u.err)
		case <-tick.C:
			if u.last() && s.lost(asking, volumeID) && !u.ended() {
				s.abort(ctx, u.connection(), volumeID)
			}
		case <-ctx.Done():
			return driver.Errorf(codes.DeadlineExceeded,
				"volume %s is unmounted from %s and still writes its last pages to the server; try again", volumeID, path)
		}
	}
}

// lost tells whether the volume's server, or the mounter itself, is gone. A
// caller who leaves before the answer learns nothing.
func (s *Service) lost(ctx context.Context, volumeID string) bool {
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	status, err := s.options.Mounter.Status(asking, volumeID)
	if ctx.Err() != nil {
		return false
	}
	return err != nil || !status.Connected && time.Since(status.Since) > lostGrace
}

// abort ends the volume's connection: whoever waits for the server gets an
// error. The kernel gives the number of a connection that has ended to the next
// file system, so the mount table is asked whether it is another volume's by
// now, while this service mounts nothing.
func (s *Service) abort(ctx context.Context, connection uint32, volumeID string) {
	s.mounting.Lock()
	defer s.mounting.Unlock()
	logger := klog.FromContext(ctx)
	table, err := mountpoint.Table()
	if err != nil {
		logger.Error(err, "Cannot abort the connection of a volume whose server is lost", "volume", volumeID)
		return
	}
	for _, m := range table {
		if id, _ := s.volumeOf(table, m); m.Major == 0 && uint32(m.Minor) == connection && id != volumeID {
			return
		}
	}
	if err := fuse.Abort(connection); err != nil {
		logger.Error(err, "Cannot abort the connection of a volume whose server is lost", "volume", volumeID)
		return
	}
	logger.Info("Aborted the connection of a volume whose server is lost", "volume", volumeID)
}
