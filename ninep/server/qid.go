package server

import (
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// statMask is what the server asks statx(2) for.
const statMask = unix.STATX_BASIC_STATS | unix.STATX_BTIME

// stat reads the attributes of the file that a descriptor holds.
func stat(fd int) (*unix.Statx_t, error) {
	st := new(unix.Statx_t)
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, statMask, st); err != nil {
		return nil, err
	}
	return st, nil
}

// statAt reads the attributes of the file of that name in the directory, without following it.
func statAt(dir int, name string) (*unix.Statx_t, error) {
	st := new(unix.Statx_t)
	if err := unix.Statx(dir, name, unix.AT_SYMLINK_NOFOLLOW, statMask, st); err != nil {
		return nil, err
	}
	return st, nil
}

func device(st *unix.Statx_t) uint64 { return unix.Mkdev(st.Dev_major, st.Dev_minor) }

func idOf(st *unix.Statx_t) fileID { return fileID{dev: device(st), ino: st.Ino} }

// qid identifies a file to clients.
func (s *Server) qid(st *unix.Statx_t) ninep.QID {
	return ninep.QID{Type: qidType(uint32(st.Mode)), Version: qidVersion(st), Path: s.qidPath(device(st), st.Ino)}
}

func qidType(mode uint32) ninep.QIDType {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return ninep.QTDir
	case unix.S_IFLNK:
		return ninep.QTSymlink
	}
	return ninep.QTFile
}

// qidPath is unique among the devices beneath the root as far as 16 bits of hash are: the root's own keeps its inode
// numbers, another's get a hash of its number, never 0, into their upper 16 bits. A restart of the server changes
// nothing.
func (s *Server) qidPath(dev, ino uint64) uint64 {
	if dev == s.rootDev {
		return ino
	}
	return ino ^ (mix(dev)>>48|1)<<48
}

// version changes when the file does, as far as the host's timestamps tell. It is Rgetattr's data_version, and half of it
// qid.version.
func version(st *unix.Statx_t) uint64 {
	v := mix(uint64(st.Ctime.Sec)<<30 ^ uint64(st.Ctime.Nsec))
	v = mix(v ^ uint64(st.Mtime.Sec)<<30 ^ uint64(st.Mtime.Nsec))
	return mix(v ^ st.Size)
}

func qidVersion(st *unix.Statx_t) uint32 { return uint32(version(st) >> 32) }

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014): every bit of x bears on every bit of the result.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
