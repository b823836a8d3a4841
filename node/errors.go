package node

import (
	"errors"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/node/mounter"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// mounterCodes are the gRPC codes of the mounter's own errors; driver.Code
// knows those of servers and parameters.
var mounterCodes = []struct {
	cause error
	code  codes.Code
	next  string // what to do, where the error does not say
}{
	{mounter.ErrUnreachable, codes.Unavailable, ""},
	{mounter.ErrUnknownVolume, codes.Unavailable, "; its mount is dead: restart the pods that use it"},
	{mounter.ErrSpec, codes.InvalidArgument, ""},
	{mounter.ErrProtocol, codes.FailedPrecondition, ""},
	{mounter.ErrOtherDirectory, codes.FailedPrecondition, ""},
}

// failed gives an error of the mounter, or of what it asked, its code.
func failed(err error) error {
	if err == nil {
		return nil
	}
	for _, row := range mounterCodes {
		if errors.Is(err, row.cause) {
			return driver.Errorf(row.code, "%w%s", err, row.next)
		}
	}
	return err
}

// local gives an error of this node's kernel its code: its errno says nothing
// about the volume, so the table of servers' errnos is not asked.
func local(err error) error {
	if err == nil {
		return nil
	}
	return driver.Errorf(codes.Internal, "%w", err)
}

// localUnlessCoded is local for errors that may be of a server as well, whose
// code they have then.
func localUnlessCoded(err error) error {
	var own interface{ GRPCStatus() *status.Status }
	if errors.As(err, &own) {
		return err
	}
	return local(err)
}

func invalid(format string, args ...any) error {
	return driver.Errorf(codes.InvalidArgument, format, args...)
}

func precondition(format string, args ...any) error {
	return driver.Errorf(codes.FailedPrecondition, format, args...)
}
