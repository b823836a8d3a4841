package ninep

import (
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// maxErrno is the highest number that Go has a text for.
const maxErrno = unix.ERFKILL

// plan9Errors are texts that servers have beside those of strerror(3), in lower case: of the Plan 9 kernel and its file servers,
// of lib9p, u9fs and npfs, and of the Go servers that took them over.
var plan9Errors = map[string]unix.Errno{
	"access denied":                           unix.EACCES,
	"not owner":                               unix.EACCES,
	"create prohibited":                       unix.EACCES,
	"create in non-directory":                 unix.ENOTDIR,
	"mounted directory forbids creation":      unix.EACCES,
	"only owner can change group in wstat":    unix.EACCES,
	"read prohibited":                         unix.EACCES,
	"remove prohibited":                       unix.EACCES,
	"write prohibited":                        unix.EACCES,
	"stat prohibited":                         unix.EACCES,
	"read/write -- not open in suitable mode": unix.EBADF,

	"permission error": unix.EPERM,
	"wstat prohibited": unix.EPERM,
	"wstat can't convert between files and directories": unix.EPERM,
	"cannot remove root":                     unix.EPERM,
	"no access to special file":              unix.EPERM,
	"not a member of proposed group":         unix.EPERM,
	"only support truncation to zero length": unix.EPERM,

	"directory entry not found":                unix.ENOENT,
	"directory entry is not allocated":         unix.ENOENT,
	"does not exist":                           unix.ENOENT,
	"file does not exist":                      unix.ENOENT,
	"file not found":                           unix.ENOENT,
	"illegal path element":                     unix.ENOENT,
	"no such file":                             unix.ENOENT,
	"not found":                                unix.ENOENT,
	"phase error -- directory entry not found": unix.ENOENT,
	"attach -- unknown attach name":            unix.ENOENT,
	"unknown specifier in attach":              unix.ENOENT,

	"already exists":                   unix.EEXIST,
	"file already exists":              unix.EEXIST,
	"file or directory already exists": unix.EEXIST,

	"file is a directory":        unix.EISDIR,
	"walk -- in a non-directory": unix.ENOTDIR,
	"walk in non-directory":      unix.ENOTDIR,

	"directory is not empty":          unix.ENOTEMPTY,
	"directory not empty on deletion": unix.ENOTEMPTY,

	"bad use of fid":                unix.EBADF,
	"duplicate fid":                 unix.EBADF,
	"fid already in use":            unix.EBADF,
	"fid unknown or out of range":   unix.EBADF,
	"file not open":                 unix.EBADF,
	"invalid fid":                   unix.EBADF,
	"read/write -- on non open fid": unix.EBADF,
	"unknown fid":                   unix.EBADF,

	"bad arg in system call":       unix.EINVAL,
	"bad character in file name":   unix.EINVAL,
	"bad offset":                   unix.EINVAL,
	"bad offset in directory read": unix.EINVAL,
	"file name syntax":             unix.EINVAL,
	"illegal mode":                 unix.EINVAL,
	"illegal name":                 unix.EINVAL,
	"illegal offset":               unix.EINVAL,
	"open/create -- unknown mode":  unix.EINVAL,
	"read/write -- bad offset":     unix.EINVAL,
	"unknown group":                unix.EINVAL,
	"unknown user":                 unix.EINVAL,

	"file name too long": unix.ENAMETOOLONG,
	"name too long":      unix.ENAMETOOLONG,

	"device or object already in use": unix.EBUSY,
	"exclusive lock":                  unix.EBUSY,
	"exclusive use file already open": unix.EBUSY,
	"file in use":                     unix.EBUSY,
	"file is in use":                  unix.EBUSY,

	"disk full":           unix.ENOSPC,
	"file system full":    unix.ENOSPC,
	"file system is full": unix.ENOSPC,
	"no space":            unix.ENOSPC,

	"file too big":              unix.EFBIG,
	"file has too many extents": unix.EFBIG,

	"file is read only":     unix.EROFS,
	"file system read only": unix.EROFS,
	"read only file system": unix.EROFS,
	"read only filesystem":  unix.EROFS,
	"read-only filesystem":  unix.EROFS,

	"authentication failed":    unix.EACCES,
	"authentication required":  unix.EACCES,
	"file has been removed":    unix.ESTALE,
	"stale file handle":        unix.ESTALE,
	"no free file descriptors": unix.EMFILE,
	"out of memory":            unix.ENOMEM,
	"interrupted":              unix.EINTR,

	"bad process or channel control request": unix.EINVAL,
	"function not supported":                 unix.EOPNOTSUPP,
	"not implemented":                        unix.EOPNOTSUPP,
	"not supported":                          unix.EOPNOTSUPP,
	"operation not implemented":              unix.EOPNOTSUPP,
	"unknown message":                        unix.EOPNOTSUPP,
	"bad message type":                       unix.EOPNOTSUPP,

	"9p protocol botch":  unix.EPROTO,
	"bogus wstat buffer": unix.EPROTO,
	"protocol botch":     unix.EPROTO,
	"i/o error":          unix.EIO,
}

// errnoTexts are the numbers by strerror(3)'s texts in lower case, which is how Go and u9fs, QEMU and npfs say them but for the
// case, and by those of plan9Errors.
var errnoTexts = sync.OnceValue(func() map[string]unix.Errno {
	texts := make(map[string]unix.Errno, int(maxErrno)+len(plan9Errors))
	for e := unix.Errno(1); e <= maxErrno; e++ {
		if unix.ErrnoName(e) == "" {
			continue
		}
		if text := strings.ToLower(e.Error()); texts[text] == 0 {
			texts[text] = e
		}
	}
	for text, e := range plan9Errors {
		texts[text] = e
	}
	return texts
})

// TextErrno returns the number that an error's text of 9P2000 stands for, EIO for one that is not known. The case of letters does
// not count, nor does what is said of the file around it: `open /a: permission denied`, `'a' file does not exist`, `file not found: a`.
func TextErrno(text string) unix.Errno {
	if errno, ok := textErrno(text); ok {
		return errno
	}
	return unix.EIO
}

func textErrno(text string) (errno unix.Errno, ok bool) {
	texts := errnoTexts()
	text = strings.ToLower(strings.TrimSpace(text))
	candidates := []string{text}
	if i := strings.LastIndex(text, ": "); i >= 0 {
		candidates = append(candidates, text[i+2:])
	}
	if i := strings.LastIndexAny(text, `'"`); i >= 0 {
		candidates = append(candidates, strings.TrimSpace(text[i+1:]))
	}
	before, _, _ := strings.Cut(text, ": ")
	for _, c := range append(candidates, before) {
		if errno, ok := texts[c]; ok {
			return errno, true
		}
	}
	return 0, false
}

// ErrorText returns the text for a number, which is strerror(3)'s: it is what Linux's client and this one find in their tables.
func ErrorText(errno unix.Errno) string {
	if errno > maxErrno || unix.ErrnoName(errno) == "" {
		errno = unix.EIO
	}
	text := errno.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}
