package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/ninep"
)

// Names of what is made on a share.
const (
	scratchPrefix = ".csi-9p-doctor-"
	scratchFile   = "file"
)

// write does the checks that write, in a directory of their own, which it removes whatever becomes of them.
func (s *server) write(ctx context.Context) {
	dir := scratchPrefix + strings.ToLower(rand.Text())
	var file *ninep.Fid
	s.run(ctx, func(s *server, ctx context.Context) (c Check) {
		c, file = s.checkWrite(ctx, dir)
		return c
	})
	if file != nil {
		s.run(ctx, func(_ *server, ctx context.Context) Check { return checkXattr(ctx, file) })
		s.run(ctx, func(s *server, ctx context.Context) Check { return s.checkLocks(ctx, file, dir) })
		file.Drop()
	}
	s.run(context.WithoutCancel(ctx), func(s *server, ctx context.Context) Check { return s.removeScratch(ctx, dir) })
}

// checkWrite makes the directory and the file, and returns the file's fid, open. A share that cannot be written may be meant so,
// or be written below its root only.
func (s *server) checkWrite(ctx context.Context, dir string) (Check, *ninep.Fid) {
	c := Check{Name: "writing", Status: OK, Found: "yes"}
	_, err := s.root.Mkdir(ctx, dir, 0o700, 0)
	var file *ninep.Fid
	if err == nil {
		file, err = s.root.Walk(ctx, dir)
	}
	if err == nil {
		if err = file.Create(ctx, scratchFile, unix.O_RDWR|unix.O_EXCL, 0o600, 0); err != nil {
			file.Drop()
		}
	}
	if err != nil {
		c.Status, c.Found, c.Cure = Warn, err.Error(), cureOf(driver.Advice(err))
		return c, nil
	}
	return c, file
}

// removeScratch removes what checkWrite made. There is something to tell only if that fails.
func (s *server) removeScratch(ctx context.Context, dir string) Check {
	made, err := s.root.Walk(ctx, dir)
	if errors.Is(err, unix.ENOENT) {
		return Check{}
	}
	if err == nil {
		if err = made.Unlink(ctx, scratchFile, false); errors.Is(err, unix.ENOENT) {
			err = nil
		}
		made.Drop()
	}
	if err == nil {
		err = s.root.Unlink(ctx, dir, true)
	}
	if err != nil {
		return Check{Name: "cleaning up", Status: Warn, Found: err.Error(), Cure: fmt.Sprintf("remove %s from the share", dir)}
	}
	return Check{}
}
