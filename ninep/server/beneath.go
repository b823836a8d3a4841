package server

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// resolveFlags keep a lookup beneath the directory that it starts from and away from every symbolic link (openat2(2)).
const resolveFlags = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

// openBeneath opens name in or below the directory. With O_PATH and O_NOFOLLOW it opens a symbolic link itself, if it is
// the last component; any other is ELOOP.
func openBeneath(dir int, name string, flags int, mode uint32) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC, Mode: uint64(mode), Resolve: resolveFlags}
	for {
		fd, err := unix.Openat2(dir, name, &how)
		// EAGAIN: a rename elsewhere kept the kernel from proving the path safe.
		if err != unix.EINTR && err != unix.EAGAIN {
			return fd, err
		}
	}
}

// openName opens the file of that name in the directory for no more than to hold it, whatever its kind.
func openName(dir int, name string) (int, error) {
	return openBeneath(dir, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
}

// resolveCached has openat2(2) fail with EAGAIN rather than read a directory (RESOLVE_CACHED, Linux 5.12; EINVAL before).
const resolveCached = 0x20

// openHasty is openName on the root's file system of a name that the kernel knows without asking the disk. Else it fails with
// errWouldWait.
func (s *Server) openHasty(dir int, name string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: resolveFlags | unix.RESOLVE_NO_XDEV}
	if s.medium != memory {
		how.Resolve |= resolveCached
	}
	fd, err := unix.Openat2(dir, name, &how)
	if err == unix.EAGAIN || err == unix.EINVAL || err == unix.EXDEV || err == unix.EINTR {
		return -1, errWouldWait
	}
	return fd, err
}

// reopen opens the very file that a descriptor holds, by its link in /proc. It must be a regular file or a directory:
// opening others has effects.
func (s *Server) reopen(fd, flags int) (int, error) {
	for {
		n, err := unix.Openat(s.proc, strconv.Itoa(fd), flags|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// procPath names the file that a descriptor holds, for system calls that take only a path.
func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// clone returns another descriptor that holds the same file.
func (s *Server) clone(f *file) (int, error) {
	if f.open {
		return s.reopen(f.fd, unix.O_PATH)
	}
	return unix.FcntlInt(uintptr(f.fd), unix.F_DUPFD_CLOEXEC, 0)
}

// checkName refuses what is no name of a directory entry.
func checkName(name string) error {
	switch {
	case name == "", name == ".", name == "..", strings.ContainsAny(name, "/\x00"):
		return unix.EINVAL
	case len(name) > ninep.MaxName:
		return unix.ENAMETOOLONG
	}
	return nil
}

// locate finds where in its attach a file is now: the directory, opened, and the name. The kernel keeps that for
// every descriptor that was opened by name. It is checked by a lookup beneath the attach's root: a rename before that is
// answered ESTALE at worst. One after it may put another file under the name, as Linux removes and moves by name only.
func (s *Server) locate(a *attachment, fd int, id fileID) (dir int, name string, err error) {
	root, err := s.pathOf(a.root)
	if err != nil {
		return -1, "", err
	}
	path, err := s.pathOf(fd)
	if err != nil {
		return -1, "", err
	}
	rel, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "/")+"/")
	if !ok || rel == "" {
		return -1, "", unix.ESTALE
	}
	parent, name := ".", rel
	if i := strings.LastIndexByte(rel, '/'); i >= 0 {
		parent, name = rel[:i], rel[i+1:]
	}
	dir, err = openBeneath(a.root, parent, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, "", err
	}
	st, err := statAt(dir, name)
	if err == nil && idOf(st) != id {
		err = unix.ESTALE
	}
	if err != nil {
		unix.Close(dir)
		return -1, "", err
	}
	return dir, name, nil
}

// locate finds where the fid's file is.
func (f *file) locate() (dir int, name string, err error) {
	return f.conn.server.locate(f.attach, f.fd, f.id)
}

func (s *Server) pathOf(fd int) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(s.proc, strconv.Itoa(fd), buf)
	if err != nil {
		return "", err
	}
	if n == len(buf) {
		return "", unix.ENAMETOOLONG
	}
	return string(buf[:n]), nil
}
