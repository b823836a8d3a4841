package ninefs

import (
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// Most records of a mount's tables. Address space is reserved for as many, memory is taken as they come into use.
const (
	maxNodes   = 1 << 22
	maxHandles = 1 << 20
)

// nodeRecord is what is known of a file that the kernel has a node id for. A successor process needs no more to go on
// serving the id.
type nodeRecord struct {
	Path      uint64 // qid.path
	Ino       uint64 // the inode number shown
	Lookups   uint64 // replies that gave the kernel this id and were not forgotten
	Size      uint64 // bytes; it, the times and the version as the server last told
	MtimeSec  uint64
	CtimeSec  uint64
	MtimeNsec uint32
	CtimeNsec uint32
	Version   uint32 // qid.version
	Format    uint32 // type bits of st_mode
	Parent    uint32 // index of the directory that Name is in; 0: none known
	Children  uint32 // nodes whose Parent this is
	QIDType   uint8
	NameLen   uint8
	Name      [ninep.MaxName]byte
	_         [3]byte
}

func (r *nodeRecord) name() string { return string(r.Name[:r.NameLen]) }

func (r *nodeRecord) setName(name string) { r.NameLen = uint8(copy(r.Name[:], name)) }

func (r *nodeRecord) isDir() bool { return r.Format == unix.S_IFDIR }

func (r *nodeRecord) stamp() stamp {
	return stamp{
		size:    r.Size,
		mtime:   ninep.Timespec{Sec: r.MtimeSec, Nsec: uint64(r.MtimeNsec)},
		ctime:   ninep.Timespec{Sec: r.CtimeSec, Nsec: uint64(r.CtimeNsec)},
		version: r.Version,
	}
}

func (r *nodeRecord) setStamp(s stamp) {
	r.Size, r.Version = s.size, s.version
	r.MtimeSec, r.MtimeNsec = s.mtime.Sec, uint32(s.mtime.Nsec)
	r.CtimeSec, r.CtimeNsec = s.ctime.Sec, uint32(s.ctime.Nsec)
}

// handleRecord is an open file or directory.
type handleRecord struct {
	Node  uint64 // id
	Flags uint32 // of open(2)
	UID   uint32 // who opened it
	Mode  uint32 // what the kernel was told of it (fuse.OpenFlags)
	_     uint32
}

// stamp is the evidence of a file's content being what it was: equal stamps of different moments say that nothing changed
// between them, as far as the coarseness of the times goes. The change time is in it because cp -p and the like set the
// modification time back. A version that never changes (diod's) is evidence of nothing and does no harm.
type stamp struct {
	size         uint64
	mtime, ctime ninep.Timespec
	version      uint32
}

func stampOf(a ninep.Attr) stamp {
	return stamp{size: a.Size, mtime: a.Mtime, ctime: a.Ctime, version: a.QID.Version}
}

// changed is when the file last changed, by the server's clock.
func (s stamp) changed() ninep.Timespec {
	if s.ctime == (ninep.Timespec{}) {
		return s.mtime
	}
	return s.ctime
}

// fileKey is what two names of one file have in common. The type is part of it because servers of several devices can give
// unlike files one path.
type fileKey struct {
	path   uint64
	format uint32 // type bits of st_mode
}

func keyOf(a ninep.Attr) fileKey { return fileKey{path: a.QID.Path, format: a.Mode & unix.S_IFMT} }
