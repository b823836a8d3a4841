package server

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// errTooLarge means that a reply has no room in the message size that was agreed on.
var errTooLarge error = unix.EMSGSIZE

// errnoOf returns the number that an error is answered with. 9P2000.L carries Linux's own.
func errnoOf(err error) unix.Errno {
	var errno unix.Errno
	switch {
	case errors.As(err, &errno):
		return errno
	case errors.Is(err, ninep.ErrUnknownType):
		return unix.EOPNOTSUPP
	}
	return unix.EIO
}
