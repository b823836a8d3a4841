package ninep_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// TestErrorTexts: what servers say is the number that it means.
func TestErrorTexts(t *testing.T) {
	for text, want := range map[string]unix.Errno{
		"file does not exist":                               unix.ENOENT, // Plan 9
		"'/n/a' file does not exist":                        unix.ENOENT,
		"directory entry not found":                         unix.ENOENT,
		"file not found":                                    unix.ENOENT, // lib9p
		"file not found: a":                                 unix.ENOENT,
		"file already exists":                               unix.EEXIST,
		"permission denied":                                 unix.EACCES,
		"wstat prohibited":                                  unix.EPERM,
		"wstat can't convert between files and directories": unix.EPERM,
		"directory is not empty":                            unix.ENOTEMPTY, // fossil
		"directory not empty":                               unix.ENOTEMPTY,
		"walk in non-directory":                             unix.ENOTDIR,
		"not a directory":                                   unix.ENOTDIR,
		"is a directory":                                    unix.EISDIR,
		"fid unknown or out of range":                       unix.EBADF, // u9fs
		"unknown fid":                                       unix.EBADF,
		"illegal mode":                                      unix.EINVAL,
		"file system is full":                               unix.ENOSPC,
		"read only file system":                             unix.EROFS,
		"i/o error":                                         unix.EIO,
		"No such file or directory":                         unix.ENOENT, // QEMU, u9fs: strerror
		"Operation not permitted":                           unix.EPERM,
		"Is a directory":                                    unix.EISDIR,
		"Invalid cross-device link":                         unix.EXDEV,
		"Too many levels of symbolic links":                 unix.ELOOP,
		"Resource temporarily unavailable":                  unix.EAGAIN,
		"Operation not supported":                           unix.EOPNOTSUPP,
		"open /srv/a: b: no such file or directory":         unix.ENOENT, // Go
		"mkdir /srv/a: file exists":                         unix.EEXIST,
		"disk quota exceeded":                               unix.EDQUOT,
		"phase of the moon":                                 unix.EIO,
		"":                                                  unix.EIO,
		": ":                                                unix.EIO,
		"'":                                                 unix.EIO,
	} {
		if got := ninep.TextErrno(text); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}

// TestErrorTextsOfNumbers: every number has a text that leads back to it.
func TestErrorTextsOfNumbers(t *testing.T) {
	for e := unix.Errno(1); e < 200; e++ {
		text := ninep.ErrorText(e)
		want := e
		if e > unix.ERFKILL || unix.ErrnoName(e) == "" {
			want = unix.EIO
		}
		if got := ninep.TextErrno(text); got != want || text == "" || len(text) > 256 {
			t.Errorf("%d is %q, which is %d", e, text, got)
		}
	}
	if got := ninep.ErrorText(unix.ENOENT); got != "No such file or directory" {
		t.Errorf("ENOENT is %q", got)
	}
	if got := ninep.ErrorText(0); ninep.TextErrno(got) != unix.EIO {
		t.Errorf("no error is %q", got)
	}
}

func FuzzTextErrno(f *testing.F) {
	f.Add("'a' file does not exist")
	f.Add("open a: permission denied")
	f.Fuzz(func(t *testing.T, text string) {
		if e := ninep.TextErrno(text); e < 1 || e > unix.ERFKILL {
			t.Errorf("%q is %d", text, e)
		}
	})
}
