package fuse

// The structures of FUSE 7.45, field for field as in include/uapi/linux/fuse.h of Linux 6.18 (same order, same sizes, host
// byte order). Fields that the header calls unused, padding, dummy or reserved are blank.

// RootID is the node id of a mount's root (FUSE_ROOT_ID).
const RootID = 1

const (
	kernelMajor = 7
	kernelMinor = 45
	// minKernelMinor is the oldest protocol served, that of Linux 5.4: it has FUSE_MAX_PAGES and FUSE_EXPLICIT_INVAL_DATA.
	minKernelMinor = 31
	// minReadBuffer is the room that a read of the device needs at least (FUSE_MIN_READ_BUFFER).
	minReadBuffer = 8192
)

// InHeader begins every request (struct fuse_in_header).
type InHeader struct {
	Len         uint32
	Opcode      Opcode
	Unique      uint64
	NodeID      uint64
	UID         uint32
	GID         uint32
	PID         uint32
	TotalExtlen uint16
	_           uint16
}

// OutHeader begins every reply and notification (struct fuse_out_header). Error is 0 or a negative errno in a reply, the
// notification's code in a notification.
type OutHeader struct {
	Len    uint32
	Error  int32
	Unique uint64
}

// Attr is struct fuse_attr. Mode holds type and permissions; Flags are AttrFlag bits.
type Attr struct {
	Ino       uint64
	Size      uint64
	Blocks    uint64
	Atime     uint64
	Mtime     uint64
	Ctime     uint64
	AtimeNsec uint32
	MtimeNsec uint32
	CtimeNsec uint32
	Mode      uint32
	Nlink     uint32
	UID       uint32
	GID       uint32
	Rdev      uint32
	Blksize   uint32
	Flags     uint32
}

// EntryOut answers LOOKUP, MKNOD, MKDIR, SYMLINK and LINK (struct fuse_entry_out). NodeID 0 with a validity is a negative
// name. Validities are in seconds and nanoseconds.
type EntryOut struct {
	NodeID         uint64
	Generation     uint64
	EntryValid     uint64
	AttrValid      uint64
	EntryValidNsec uint32
	AttrValidNsec  uint32
	Attr           Attr
}

// AttrOut answers GETATTR and SETATTR (struct fuse_attr_out).
type AttrOut struct {
	AttrValid     uint64
	AttrValidNsec uint32
	_             uint32
	Attr          Attr
}

// StatfsOut answers STATFS (struct fuse_statfs_out).
type StatfsOut struct {
	Blocks  uint64
	Bfree   uint64
	Bavail  uint64
	Files   uint64
	Ffree   uint64
	Bsize   uint32
	Namelen uint32
	Frsize  uint32
	_       uint32
	_       [6]uint32
}

// FileLock is struct fuse_file_lock: an inclusive byte range, a type of fcntl(2) (F_RDLCK, F_WRLCK, F_UNLCK) and a thread
// group id.
type FileLock struct {
	Start uint64
	End   uint64
	Type  uint32
	PID   uint32
}

// ForgetIn is the argument of FORGET (struct fuse_forget_in).
type ForgetIn struct {
	Nlookup uint64
}

// ForgetOne is one entry of BATCH_FORGET (struct fuse_forget_one); [Request.Forgets] yields them for FORGET too.
type ForgetOne struct {
	NodeID  uint64
	Nlookup uint64
}

// BatchForgetIn is the argument of BATCH_FORGET (struct fuse_batch_forget_in), followed by Count times ForgetOne.
type BatchForgetIn struct {
	Count uint32
	_     uint32
}

// GetattrIn is the argument of GETATTR (struct fuse_getattr_in). Fh counts only with GetattrFh in Flags.
type GetattrIn struct {
	Flags uint32
	_     uint32
	Fh    uint64
}

// SetattrIn is the argument of SETATTR (struct fuse_setattr_in). Valid says which fields count.
type SetattrIn struct {
	Valid     SetattrValid
	_         uint32
	Fh        uint64
	Size      uint64
	LockOwner uint64
	Atime     uint64
	Mtime     uint64
	Ctime     uint64
	AtimeNsec uint32
	MtimeNsec uint32
	CtimeNsec uint32
	Mode      uint32
	_         uint32
	UID       uint32
	GID       uint32
	_         uint32
}

// MknodIn is the argument of MKNOD (struct fuse_mknod_in), followed by the name. Without FUSE_DONT_MASK Mode is masked already.
type MknodIn struct {
	Mode  uint32
	Rdev  uint32
	Umask uint32
	_     uint32
}

// MkdirIn is the argument of MKDIR (struct fuse_mkdir_in), followed by the name.
type MkdirIn struct {
	Mode  uint32
	Umask uint32
}

// RenameIn is the argument of RENAME (struct fuse_rename_in), followed by the old and the new name.
type RenameIn struct {
	Newdir uint64
}

// Rename2In is the argument of RENAME2 (struct fuse_rename2_in), followed by the old and the new name. Flags are those of
// renameat2(2).
type Rename2In struct {
	Newdir uint64
	Flags  uint32
	_      uint32
}

// LinkIn is the argument of LINK (struct fuse_link_in), followed by the new name; the header names the new directory.
type LinkIn struct {
	OldNodeID uint64
}

// OpenIn is the argument of OPEN and OPENDIR (struct fuse_open_in). Flags are those of open(2).
type OpenIn struct {
	Flags     uint32
	OpenFlags uint32
}

// CreateIn is the argument of CREATE and TMPFILE (struct fuse_create_in), followed by the name.
type CreateIn struct {
	Flags     uint32
	Mode      uint32
	Umask     uint32
	OpenFlags uint32
}

// OpenOut answers OPEN and OPENDIR (struct fuse_open_out).
type OpenOut struct {
	Fh        uint64
	OpenFlags OpenFlags
	BackingID int32
}

// ReleaseIn is the argument of RELEASE and RELEASEDIR (struct fuse_release_in).
type ReleaseIn struct {
	Fh           uint64
	Flags        uint32
	ReleaseFlags uint32
	LockOwner    uint64
}

// FlushIn is the argument of FLUSH (struct fuse_flush_in).
type FlushIn struct {
	Fh        uint64
	_         uint32
	_         uint32
	LockOwner uint64
}

// ReadIn is the argument of READ, READDIR and READDIRPLUS (struct fuse_read_in).
type ReadIn struct {
	Fh        uint64
	Offset    uint64
	Size      uint32
	ReadFlags uint32
	LockOwner uint64
	Flags     uint32
	_         uint32
}

// WriteIn is the argument of WRITE (struct fuse_write_in), followed by Size bytes of payload.
type WriteIn struct {
	Fh         uint64
	Offset     uint64
	Size       uint32
	WriteFlags WriteFlags
	LockOwner  uint64
	Flags      uint32
	_          uint32
}

// WriteOut answers WRITE and COPY_FILE_RANGE (struct fuse_write_out).
type WriteOut struct {
	Size uint32
	_    uint32
}

// FsyncIn is the argument of FSYNC and FSYNCDIR (struct fuse_fsync_in).
type FsyncIn struct {
	Fh         uint64
	FsyncFlags uint32
	_          uint32
}

// SetxattrIn is the argument of SETXATTR, followed by the name and Size bytes of value. It is the eight bytes that a server
// without FUSE_SETXATTR_EXT gets (FUSE_COMPAT_SETXATTR_IN_SIZE); this package never asks for that flag.
type SetxattrIn struct {
	Size  uint32
	Flags uint32
}

// GetxattrIn is the argument of GETXATTR, followed by the name, and of LISTXATTR (struct fuse_getxattr_in). Size 0 asks for
// the size: answer with [Request.ReplyXattrSize].
type GetxattrIn struct {
	Size uint32
	_    uint32
}

// GetxattrOut answers GETXATTR and LISTXATTR of size 0 (struct fuse_getxattr_out).
type GetxattrOut struct {
	Size uint32
	_    uint32
}

// LkIn is the argument of GETLK, SETLK and SETLKW (struct fuse_lk_in). LkFlags tells flock(2) from fcntl(2).
type LkIn struct {
	Fh      uint64
	Owner   uint64
	Lk      FileLock
	LkFlags uint32
	_       uint32
}

// InitIn is the argument of INIT (struct fuse_init_in).
type InitIn struct {
	Major        uint32
	Minor        uint32
	MaxReadahead uint32
	Flags        uint32
	Flags2       uint32
	_            [11]uint32
}

// InitOut answers INIT (struct fuse_init_out).
type InitOut struct {
	Major               uint32
	Minor               uint32
	MaxReadahead        uint32
	Flags               uint32
	MaxBackground       uint16
	CongestionThreshold uint16
	MaxWrite            uint32
	TimeGran            uint32
	MaxPages            uint16
	MapAlignment        uint16
	Flags2              uint32
	MaxStackDepth       uint32
	RequestTimeout      uint16
	_                   [11]uint16
}

// InterruptIn is the argument of INTERRUPT (struct fuse_interrupt_in).
type InterruptIn struct {
	Unique uint64
}

// direntHeader is struct fuse_dirent without its name.
type direntHeader struct {
	Ino     uint64
	Off     uint64
	Namelen uint32
	Type    uint32
}

// notifyInvalInodeOut is struct fuse_notify_inval_inode_out.
type notifyInvalInodeOut struct {
	Ino uint64
	Off int64
	Len int64
}

// notifyInvalEntryOut is struct fuse_notify_inval_entry_out, followed by the name and a NUL.
type notifyInvalEntryOut struct {
	Parent  uint64
	Namelen uint32
	Flags   uint32
}
