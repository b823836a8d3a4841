package doctor

import (
	"context"
	"os"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport/dial"
)

// checkLocks takes a lock in one session and asks for it in another.
func (s *server) checkLocks(ctx context.Context, file *ninep.Fid, dir string) Check {
	c := Check{Name: "locks", Status: Warn}
	if s.url.Scheme == dial.Virtio {
		c.Found, c.Cure = "within this machine: a device is one session", "QEMU grants every lock; take a server on the network for locks between machines"
		return c
	}
	lock := func(f *ninep.Fid, first uint64) (ninep.LockStatus, error) {
		return f.Lock(ctx, ninep.Lock{Type: ninep.WriteLock, Start: first, Length: 1, ProcID: uint32(os.Getpid())})
	}
	status, err := lock(file, 0)
	if err == nil && status != ninep.LockSuccess {
		c.Found, c.Cure = "a lock of a file that nobody has is refused", "see the server's log"
		return c
	}
	var other *ninep.Fid
	if err == nil {
		var session *ninep.Session
		if session, other, err = s.again(ctx, dir); err == nil {
			defer session.Close()
		}
	}
	var same, beside ninep.LockStatus
	if err == nil {
		same, err = lock(other, 0)
	}
	if err == nil {
		beside, err = lock(other, 1)
	}
	switch {
	case err != nil:
		c.Found, c.Cure = err.Error(), cureOf(driver.Advice(err))
	case same == ninep.LockSuccess:
		c.Found, c.Cure = "two clients get the same lock: the server grants everything", "locks hold within one node; for more, take a server with real ones, such as csi-9p serve"
	case beside != ninep.LockSuccess:
		c.Found, c.Cure = "between clients, of whole files only", "programs that lock parts of a file on several nodes wait for each other more than they need"
	default:
		c.Status, c.Found = OK, "between clients, by byte range"
	}
	return c
}

// again is a second client, with the file open.
func (s *server) again(ctx context.Context, dir string) (*ninep.Session, *ninep.Fid, error) {
	session, err := s.open(ctx, s.session.Dialect())
	if err != nil {
		return nil, nil, err
	}
	root, err := session.Attach(ctx, s.attach())
	var file *ninep.Fid
	if err == nil {
		file, err = root.Walk(ctx, dir, scratchFile)
	}
	if err == nil {
		err = file.Open(ctx, unix.O_RDWR)
	}
	if err != nil {
		_ = session.Close()
		return nil, nil, err
	}
	return session, file, nil
}
