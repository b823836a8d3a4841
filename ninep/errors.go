package ninep

import (
	"context"
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

var (
	// ErrLost is wrapped, beside unix.EIO, by calls that gave up waiting for a lost server.
	ErrLost = errors.New("connection to the 9P server lost")
	// ErrClosed is wrapped, beside unix.EIO, by calls on a session that was closed.
	ErrClosed = errors.New("9P session closed")
	// ErrNotNineP means that whoever was dialled does not speak 9P.
	ErrNotNineP = errors.New("not a 9P server")
	// ErrDialect means that the server speaks 9P, but none of the dialects that were asked for.
	ErrDialect = errors.New("9P dialect not spoken by the server")
	// ErrMsizeTooSmall means that the two ends found no usable message size: less than [MinMsize] was offered or
	// answered.
	ErrMsizeTooSmall = errors.New("9P message size too small")
)

// Error is a failed operation. It unwraps to its Errno, and to its cause where it has one: [ErrLost], [ErrClosed],
// [ErrMalformed], or the error of the context that cancelled the call (then Errno is EINTR).
type Error struct {
	Op    string     // the operation, in the words of the protocol: "walk", "lopen"
	Path  string     // the file, from the root of its attach; for people, not for programs
	Errno unix.Errno // what the server answered, or what fits the cause best
	Cause error      // nil when the server answered, unless it was a text that stands for no number
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("9p ")
	b.WriteString(e.Op)
	if e.Path != "" {
		b.WriteString(" " + e.Path)
	}
	b.WriteString(": ")
	if e.Cause != nil {
		b.WriteString(e.Cause.Error())
	} else {
		b.WriteString(e.Errno.Error())
	}
	return b.String()
}

// Unwrap makes errors.Is work for the number and for the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Errno}
	}
	return []error{e.Errno, e.Cause}
}

// IsErrno reports whether an error is one of the numbers, or wraps one.
func IsErrno(err error, numbers ...unix.Errno) bool {
	for _, n := range numbers {
		if errors.Is(err, n) {
			return true
		}
	}
	return false
}

// newError makes the error of an operation.
func newError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	if errno, ok := err.(unix.Errno); ok { //nolint:errorlint // as in refusal
		return &Error{Op: op, Path: path, Errno: errno}
	}
	return &Error{Op: op, Path: path, Errno: errnoOf(err), Cause: err}
}

// fail makes the error of an operation on the fid, or on the file that the names lead to from there.
func (f *Fid) fail(op string, err error, names ...string) error {
	if err == nil {
		return nil
	}
	path := f.Path()
	if len(names) > 0 {
		path = strings.TrimSuffix(path, "/") + "/" + strings.Join(names, "/")
	}
	return newError(op, path, err)
}

// errnoOf returns the number that an error without one stands for. What the system says of a connection's end is no
// answer to the operation.
func errnoOf(err error) unix.Errno {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return unix.EINTR
	case errors.Is(err, ErrTooLong):
		return unix.ENAMETOOLONG
	}
	return unix.EIO
}

// isUnsupported reports whether the server answered that it does not know such a message.
func isUnsupported(err error) bool {
	errno, ok := refusal(err)
	return ok && (errno == unix.EOPNOTSUPP || errno == unix.ENOSYS)
}

// refusal returns the number of an error that is one and nothing else: the server's answer, or this package's own. One
// inside another error, such as that of a socket, is neither.
func refusal(err error) (errno unix.Errno, ok bool) {
	switch err := err.(type) { //nolint:errorlint // see above
	case unix.Errno:
		return err, true
	case *unknownText:
		return unix.EIO, true
	}
	return 0, false
}
