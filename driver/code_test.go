package driver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/record"
	"github.com/csi-9p/csi-9p/driver/shares"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestCode(t *testing.T) {
	lost := &ninep.Error{Op: "walk", Path: "/x", Errno: unix.EIO, Cause: ninep.ErrLost}
	_, unresolved := (&net.Resolver{}).LookupHost(context.Background(), "no.such.host.invalid")
	for _, test := range []struct {
		err  error
		code codes.Code
	}{
		{nil, codes.OK},
		{unix.ENOENT, codes.NotFound},
		{&ninep.Error{Op: "walk", Path: "/x", Errno: unix.ENOENT}, codes.NotFound},
		{unix.EEXIST, codes.AlreadyExists},
		{unix.EACCES, codes.PermissionDenied},
		{unix.EPERM, codes.PermissionDenied},
		{unix.ENOSPC, codes.ResourceExhausted},
		{unix.EDQUOT, codes.ResourceExhausted},
		{unix.EROFS, codes.FailedPrecondition},
		{unix.ENAMETOOLONG, codes.InvalidArgument},
		{unix.ECONNREFUSED, codes.Unavailable},
		{unix.EHOSTUNREACH, codes.Unavailable},
		{lost, codes.Unavailable},
		{transport.ErrClosed, codes.Unavailable},
		{unresolved, codes.Unavailable},
		{driver.ErrUnavailable, codes.Unavailable},
		{mtls.ErrNone, codes.Unauthenticated},
		{mtls.ErrSecret, codes.Unauthenticated},
		{fmt.Errorf("%w: %w", ninep.ErrLost, transport.ErrRefused), codes.Unauthenticated},
		{mtls.ErrFiles, codes.FailedPrecondition},
		{mtls.ErrServer, codes.FailedPrecondition},
		// The caller's wish counts before what it did to the connection.
		{&ninep.Error{Op: "walk", Errno: unix.EINTR, Cause: context.DeadlineExceeded}, codes.DeadlineExceeded},
		{&ninep.Error{Op: "walk", Errno: unix.EINTR, Cause: context.Canceled}, codes.Canceled},
		{&params.Error{Key: "x"}, codes.InvalidArgument},
		{shares.ErrUnknown, codes.FailedPrecondition},
		// A record that is corrupt by a bad parameter is not the caller's fault.
		{fmt.Errorf("%w: %w", record.ErrCorrupt, params.ErrInvalid), codes.FailedPrecondition},
		{status.Error(codes.Aborted, "x"), codes.Aborted},
		{fmt.Errorf("x: %w", status.Error(codes.OutOfRange, "x")), codes.OutOfRange},
		{errors.Join(status.Error(codes.AlreadyExists, "x"), unix.ENOENT), codes.AlreadyExists},
		{errors.New("a fault"), codes.Internal},
	} {
		if got := driver.Code(fmt.Errorf("wrapped: %w", test.err)); test.err != nil && got != test.code {
			t.Errorf("%v: got %v, want %v", test.err, got, test.code)
		}
	}
	if driver.Code(nil) != codes.OK {
		t.Error("no error is not OK")
	}
}
