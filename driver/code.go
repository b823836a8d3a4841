package driver

import (
	"context"
	"errors"
	"fmt"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/record"
	"github.com/csi-9p/csi-9p/driver/shares"
	"github.com/csi-9p/csi-9p/driver/subdir"
	"github.com/csi-9p/csi-9p/driver/tree"
	"github.com/csi-9p/csi-9p/driver/volume"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrUnavailable means that a server cannot be reached or does not answer, and
// that trying again later is the right thing to do.
var ErrUnavailable = errors.New("unavailable")

// table maps causes to codes. The first match counts: what a caller asked for
// comes before what a connection did, and that before the server's errno. No
// row says Internal: that is for faults of this program alone. Unauthenticated is
// for what the secrets of a call can mend (CSI spec, "Error Scheme"): they are
// missing, unusable or refused. What only the driver's or the server's owner can
// mend is FailedPrecondition.
var table = []struct {
	cause error
	code  codes.Code
}{
	{mtls.ErrNone, codes.Unauthenticated},
	{mtls.ErrSecret, codes.Unauthenticated},
	{transport.ErrRefused, codes.Unauthenticated},
	{mtls.ErrFiles, codes.FailedPrecondition},
	{mtls.ErrServer, codes.FailedPrecondition},

	{ErrUnavailable, codes.Unavailable},
	{context.DeadlineExceeded, codes.DeadlineExceeded},
	{context.Canceled, codes.Canceled},

	{record.ErrCorrupt, codes.FailedPrecondition},
	{record.ErrClaimed, codes.AlreadyExists},
	{params.ErrInvalid, codes.InvalidArgument},
	{subdir.ErrInvalid, codes.InvalidArgument},
	{volume.ErrTooLong, codes.InvalidArgument},
	{volume.ErrNotOurs, codes.NotFound},
	{shares.ErrUnknown, codes.FailedPrecondition},
	{shares.ErrConfig, codes.FailedPrecondition},
	{tree.ErrBusy, codes.Aborted},
	{dial.ErrUnsupported, codes.InvalidArgument},

	{ninep.ErrLost, codes.Unavailable},
	{ninep.ErrClosed, codes.Unavailable},
	{ninep.ErrNotNineP, codes.Unavailable},
	{ninep.ErrDialect, codes.FailedPrecondition},
	{ninep.ErrMsizeTooSmall, codes.FailedPrecondition},
	{ninep.ErrMalformed, codes.Unavailable},
	{transport.ErrClosed, codes.Unavailable},
	{transport.ErrProtocol, codes.Unavailable},

	{unix.ENOENT, codes.NotFound},
	{unix.EEXIST, codes.AlreadyExists},
	{unix.EACCES, codes.PermissionDenied},
	{unix.EPERM, codes.PermissionDenied},
	{unix.ENOSPC, codes.ResourceExhausted},
	{unix.EDQUOT, codes.ResourceExhausted},
	{unix.EMFILE, codes.ResourceExhausted},
	{unix.ENFILE, codes.ResourceExhausted},
	{unix.ENOMEM, codes.ResourceExhausted},
	{unix.EMLINK, codes.ResourceExhausted},
	{unix.EROFS, codes.FailedPrecondition},
	{unix.ENOTEMPTY, codes.FailedPrecondition},
	{unix.ENOTDIR, codes.FailedPrecondition},
	{unix.EISDIR, codes.FailedPrecondition},
	{unix.ELOOP, codes.FailedPrecondition},
	{unix.EXDEV, codes.FailedPrecondition},
	{unix.EBUSY, codes.FailedPrecondition},
	{unix.ESTALE, codes.FailedPrecondition},
	{unix.EOPNOTSUPP, codes.FailedPrecondition},
	{unix.ENOSYS, codes.FailedPrecondition},
	{unix.ENAMETOOLONG, codes.InvalidArgument},
	{unix.EINVAL, codes.InvalidArgument},
	{unix.EINTR, codes.Canceled},
	{unix.EAGAIN, codes.Unavailable},
	{unix.ETIMEDOUT, codes.Unavailable},
	{unix.ECONNREFUSED, codes.Unavailable},
	{unix.ECONNRESET, codes.Unavailable},
	{unix.ECONNABORTED, codes.Unavailable},
	{unix.EPIPE, codes.Unavailable},
	{unix.ENOTCONN, codes.Unavailable},
	{unix.EHOSTUNREACH, codes.Unavailable},
	{unix.EHOSTDOWN, codes.Unavailable},
	{unix.ENETUNREACH, codes.Unavailable},
	{unix.ENETDOWN, codes.Unavailable},
	{unix.ENODEV, codes.Unavailable},
	{unix.EIO, codes.Unavailable},
}

// Code returns the gRPC code that an error is answered with: its own if it is
// a gRPC status, else what the table says of its cause, else Internal.
func Code(err error) codes.Code {
	if err == nil {
		return codes.OK
	}
	var own interface{ GRPCStatus() *status.Status }
	if errors.As(err, &own) {
		return own.GRPCStatus().Code()
	}
	for _, row := range table {
		if errors.Is(err, row.cause) {
			return row.code
		}
	}
	return networkCode(err)
}

// networkCode knows the errors of package net that wrap no errno, such as a
// name that does not resolve: the server is out of reach.
func networkCode(err error) codes.Code {
	var network interface {
		error
		Timeout() bool
		Temporary() bool
	}
	if errors.As(err, &network) {
		return codes.Unavailable
	}
	return codes.Internal
}

// Errorf is fmt.Errorf for an error whose code no cause tells.
func Errorf(code codes.Code, format string, args ...any) error {
	return &coded{code, fmt.Errorf(format, args...)}
}

// coded is an error with a code of its own. Unlike that of a gRPC status, its
// text does not repeat the code wherever it is wrapped.
type coded struct {
	code codes.Code
	err  error
}

func (e *coded) Error() string              { return e.err.Error() }
func (e *coded) Unwrap() error              { return e.err }
func (e *coded) GRPCStatus() *status.Status { return status.New(e.code, e.Error()) }

// toStatus makes the error that goes out: a status as it is, any other with its
// code by Code and its text.
func toStatus(err error) error {
	if _, own := err.(interface{ GRPCStatus() *status.Status }); own || err == nil {
		return err
	}
	return status.Error(Code(err), err.Error())
}
