package mounter

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/driver/subdir"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"golang.org/x/sys/unix"
)

var (
	// ErrUnreachable means that no mounter answers on the control socket.
	ErrUnreachable = errors.New("no mounter answers")
	// ErrProtocol means that a peer on the control socket does not keep to
	// the protocol, or speaks another version of it.
	ErrProtocol = errors.New("mounter control protocol")
	// ErrUnknownVolume means that the mounter holds no such volume.
	ErrUnknownVolume = errors.New("the mounter does not know the volume")
	// ErrInUse means that a released volume's mount is still held by someone.
	ErrInUse = errors.New("the mount is still in use")
	// ErrOtherDirectory means that the volume's directory is not the one that
	// the controller made.
	ErrOtherDirectory = errors.New("another directory in the volume's place")
)

// causes are the errors that keep their identity across the control socket.
var causes = []struct {
	name string
	err  error
}{
	{"unavailable", driver.ErrUnavailable},
	{"deadline", context.DeadlineExceeded},
	{"canceled", context.Canceled},
	{"protocol", ErrProtocol},
	{"unknown-volume", ErrUnknownVolume},
	{"in-use", ErrInUse},
	{"other-directory", ErrOtherDirectory},
	{"spec", ErrSpec},
	{"parameter", params.ErrInvalid},
	{"directory", subdir.ErrInvalid},
	{"unsupported", dial.ErrUnsupported},
	{"no-credentials", mtls.ErrNone},
	{"secret", mtls.ErrSecret},
	{"files", mtls.ErrFiles},
	{"server", mtls.ErrServer},
	{"refused", transport.ErrRefused},
	{"not-9p", ninep.ErrNotNineP},
	{"dialect", ninep.ErrDialect},
	{"msize", ninep.ErrMsizeTooSmall},
	{"violation", transport.ErrProtocol},
	{"closed", transport.ErrClosed},
	{"lost", ninep.ErrLost},
}

// RemoteError is an error that happened in the mounter.
type RemoteError struct {
	Message string
	causes  []error
}

func (e *RemoteError) Error() string { return e.Message }

// Unwrap makes errors.Is answer as it would in the mounter, for an errno and
// for the errors listed in causes.
func (e *RemoteError) Unwrap() []error { return e.causes }

// wireError is an error on the control socket.
type wireError struct {
	Message string   `json:"message"`
	Errno   uint32   `json:"errno,omitempty"`
	Causes  []string `json:"causes,omitempty"`
}

func toWire(err error) *wireError {
	w := &wireError{Message: err.Error()}
	var errno unix.Errno
	if errors.As(err, &errno) {
		w.Errno = uint32(errno)
	}
	for _, c := range causes {
		if errors.Is(err, c.err) {
			w.Causes = append(w.Causes, c.name)
		}
	}
	var network net.Error
	if len(w.Causes) == 0 && w.Errno == 0 && errors.As(err, &network) {
		w.Causes = []string{"lost"} // a name that does not resolve, a timeout: the server is out of reach
	}
	return w
}

func fromWire(w *wireError) error {
	e := &RemoteError{Message: w.Message}
	for _, name := range w.Causes {
		for _, c := range causes {
			if c.name == name {
				e.causes = append(e.causes, c.err)
			}
		}
	}
	if w.Errno != 0 {
		e.causes = append(e.causes, unix.Errno(w.Errno))
	}
	return e
}

// protocolError is what a peer that broke the protocol is told.
func protocolError(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrProtocol, fmt.Errorf(format, args...))
}
