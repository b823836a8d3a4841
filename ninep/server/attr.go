package server

import (
	"cmp"
	"math"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// getattr tells all that statx(2) knows, whatever was asked: it costs the same.
func (c *conn) getattr(r *request) (ninep.Message, error) {
	f := r.file(0)
	if f == nil || f.xattr != nil {
		return nil, unix.EBADF
	}
	st, err := stat(f.fd)
	if err != nil {
		return nil, err
	}
	a := ninep.Attr{
		Valid:     ninep.AttrBasic | ninep.AttrDataVersion,
		QID:       c.server.qid(st),
		Mode:      uint32(st.Mode),
		UID:       st.Uid,
		GID:       st.Gid,
		Nlink:     uint64(st.Nlink),
		Rdev:      unix.Mkdev(st.Rdev_major, st.Rdev_minor),
		Size:      st.Size,
		BlockSize: uint64(st.Blksize),
		Blocks:    st.Blocks,
		Atime:     timespec(st.Atime),
		Mtime:     timespec(st.Mtime),
		Ctime:     timespec(st.Ctime),

		DataVersion: version(st),
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		a.Valid |= ninep.AttrBtime
		a.Btime = timespec(st.Btime)
	}
	return &ninep.Rgetattr{Attr: a}, nil
}

func timespec(t unix.StatxTimestamp) ninep.Timespec {
	return ninep.Timespec{Sec: uint64(t.Sec), Nsec: uint64(t.Nsec)}
}

// setattr changes size, owner, mode and times in this order, because a new size or owner may clear bits of the mode and
// all of them touch the times. It stops at the first that fails.
func (c *conn) setattr(r *request, m *ninep.Tsetattr) (ninep.Message, error) {
	f := r.file(0)
	switch {
	case f == nil || f.xattr != nil:
		return nil, unix.EBADF
	case c.server.options.ReadOnly:
		return nil, unix.EROFS
	}
	return &ninep.Rsetattr{}, f.attach.user.do(func() error {
		for _, set := range []func(*file, *ninep.SetAttr) error{setSize, setOwner, c.server.setMode, c.server.setTimes} {
			if err := set(f, &m.SetAttr); err != nil {
				return err
			}
		}
		return nil
	})
}

func setSize(f *file, a *ninep.SetAttr) error {
	switch {
	case a.Valid&ninep.SetSize == 0:
		return nil
	case f.typ == unix.S_IFDIR:
		return unix.EISDIR
	case f.typ != unix.S_IFREG:
		return unix.EINVAL
	case a.Size > math.MaxInt64:
		return unix.EFBIG
	case f.writable:
		// What was opened for writing stays so, whatever became of its mode.
		return unix.Ftruncate(f.fd, int64(a.Size))
	}
	return unix.Truncate(procPath(f.fd), int64(a.Size))
}

// setOwner also serves a request for a new ctime alone, which chown(2) sets even if it changes nothing.
func setOwner(f *file, a *ninep.SetAttr) error {
	if a.Valid&(ninep.SetUID|ninep.SetGID) == 0 && a.Valid != ninep.SetCtime {
		return nil
	}
	uid, gid := -1, -1
	if a.Valid&ninep.SetUID != 0 {
		uid = int(a.UID)
	}
	if a.Valid&ninep.SetGID != 0 {
		gid = int(a.GID)
	}
	return unix.Fchownat(f.fd, "", uid, gid, unix.AT_EMPTY_PATH)
}

func (s *Server) setMode(f *file, a *ninep.SetAttr) error {
	switch {
	case a.Valid&ninep.SetMode == 0:
		return nil
	case f.typ == unix.S_IFLNK:
		return unix.EOPNOTSUPP
	}
	return unix.Fchmodat(s.proc, strconv.Itoa(f.fd), a.Mode&permissions, 0)
}

func (s *Server) setTimes(f *file, a *ninep.SetAttr) error {
	if a.Valid&(ninep.SetAtime|ninep.SetMtime) == 0 {
		return nil
	}
	times := []unix.Timespec{
		newTime(a.Valid, ninep.SetAtime, ninep.SetAtimeGiven, a.Atime),
		newTime(a.Valid, ninep.SetMtime, ninep.SetMtimeGiven, a.Mtime),
	}
	return unix.UtimesNanoAt(s.proc, strconv.Itoa(f.fd), times, 0)
}

// newTime is what utimensat(2) is to make of a time.
func newTime(valid, set, given ninep.SetMask, t ninep.Timespec) unix.Timespec {
	switch {
	case valid&set == 0:
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	case valid&given == 0:
		return unix.Timespec{Nsec: unix.UTIME_NOW}
	}
	return unix.Timespec{Sec: int64(t.Sec), Nsec: int64(t.Nsec)}
}

// readlink tells a symbolic link's target, which means something to the client only.
func (c *conn) readlink(r *request) (ninep.Message, error) {
	f := r.file(0)
	switch {
	case f == nil || f.xattr != nil:
		return nil, unix.EBADF
	case f.typ != unix.S_IFLNK:
		return nil, unix.EINVAL
	}
	target, err := readLink(f.fd, "")
	return &ninep.Rreadlink{Target: target}, err
}

// readLink reads the target of the link that a descriptor holds, or of that name in its directory.
func readLink(fd int, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

func (c *conn) statfs(r *request) (ninep.Message, error) {
	f := r.file(0)
	if f == nil || f.xattr != nil {
		return nil, unix.EBADF
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(f.fd, &st); err != nil {
		return nil, err
	}
	return &ninep.Rstatfs{Statfs: figures(&st)}, nil
}

// figures are those of a file system as 9P tells them, all in one unit. That is statfs(2)'s f_frsize where f_bsize is another, as of
// some file systems of FUSE (statvfs(3)).
func figures(st *unix.Statfs_t) ninep.Statfs {
	return ninep.Statfs{
		Type:        uint32(st.Type),
		BlockSize:   uint32(cmp.Or(st.Frsize, st.Bsize)),
		Blocks:      st.Blocks,
		BlocksFree:  st.Bfree,
		BlocksAvail: st.Bavail,
		Files:       st.Files,
		FilesFree:   st.Ffree,
		FSID:        uint64(uint32(st.Fsid.Val[0])) | uint64(uint32(st.Fsid.Val[1]))<<32,
		NameLength:  uint32(st.Namelen),
	}
}
