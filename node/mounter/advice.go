package mounter

import (
	"errors"
	"fmt"
	"strings"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport/dial"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

// openError says of a server to which no session could be opened what to look
// at. The errno of a socket means the server's absence, not a file's.
func openError(server string, err error) error {
	look := "check that it runs, speaks 9P2000.L and lets this node in"
	if strings.HasPrefix(server, dial.Virtio+"://") {
		look = "'csi-9p doctor " + server + "' on the node says what is missing"
	}
	switch driver.Code(err) {
	case codes.Unavailable, codes.NotFound, codes.PermissionDenied, codes.Internal:
		return fmt.Errorf("server %s is %w: %w; %s", server, driver.ErrUnavailable, err, look)
	case codes.DeadlineExceeded:
		return fmt.Errorf("server %s gave no answer in time: %w; %s", server, err, look)
	}
	if errors.Is(err, ninep.ErrDialect) {
		return fmt.Errorf("server %s: %w; set the parameter dialect to what it speaks, or to auto", server, err)
	}
	return fmt.Errorf("server %s: %w", server, err)
}

// directoryAdvice says what to do about a volume's directory that is not there.
func (v *Volume) directoryAdvice(err error) string {
	switch {
	case errors.Is(err, unix.ENOENT) && v.spec.Context.Provisioned:
		return "; somebody removed it: restore it, or delete the claim"
	case errors.Is(err, unix.ENOENT):
		return "; make it on the server, or correct subDir"
	case errors.Is(err, unix.ENOTDIR):
		return "; subDir has to name a directory"
	}
	return driver.Advice(err)
}

// blame adds the share's name to an error of its server's, whose address the
// volume's parameters do not have.
func (s Spec) blame(err error) error {
	if s.Context.Parameters.Share == "" {
		return err
	}
	return fmt.Errorf("share %s: %w", s.Context.Parameters.Share, err)
}
