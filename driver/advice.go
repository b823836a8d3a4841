package driver

import (
	"errors"

	"github.com/csi-9p/csi-9p/ninep"
	"golang.org/x/sys/unix"
)

// advices say what to do about a number that a server answered. The texts go
// into the events of claims and pods.
var advices = []struct {
	errno  unix.Errno
	advice string
}{
	{unix.EACCES, adviceDenied},
	{unix.EPERM, adviceDenied},
	{unix.EROFS, "the server exports it read-only"},
	{unix.ENOSPC, "make room on the server's disk"},
	{unix.EDQUOT, "make room within the server's quota, or raise it"},
	{unix.ENOTDIR, "remove what has the name of a directory there, or name another one"},
	{unix.EMFILE, adviceFiles},
	{unix.ENFILE, adviceFiles},
	{unix.EOPNOTSUPP, adviceLacks},
	{unix.ENOSYS, adviceLacks},
	{unix.EIO, "see the server's log"},
}

const (
	adviceDenied = "check attachUid, what the server makes of that user, and the owner and mode of the directory on the server"
	adviceFiles  = "raise the number of files that the server may open"
	adviceLacks  = "the server lacks the operation; docs/limitations.md has the servers that are known to work"
)

// Advice says what to do about an error that a server answered, as the end of
// the error's sentence; empty where it is not a server's, or was made by Errorf,
// whose texts say that themselves.
func Advice(err error) string {
	var own *coded
	if !answered(err) || errors.As(err, &own) {
		return ""
	}
	for _, a := range advices {
		if errors.Is(err, a.errno) {
			return "; " + a.advice
		}
	}
	return ""
}

// AttachAdvice is Advice for the answer to an attach.
func AttachAdvice(err error) string {
	switch {
	case !answered(err):
		return ""
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return "; check aname"
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EHOSTUNREACH): // a mounter answers so for a server that it cannot have
		return "; see the log of csi-9p mounter on this node"
	}
	return "; check attachUid and what the server allows"
}

// answered reports whether an error is a number that a server answered, or that
// was made of its answers, rather than the loss of the server or of the caller.
func answered(err error) bool {
	var errno unix.Errno
	var e *ninep.Error
	return errors.As(err, &errno) && (!errors.As(err, &e) || e.Cause == nil)
}
