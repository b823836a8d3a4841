package ninep

import "fmt"

// Version is the dialect's name in Tversion.
const Version = "9P2000.L"

// Limits and sizes of the wire format, in bytes unless said otherwise.
const (
	NoTag         uint16 = 0xffff                 // tag of Tversion
	NoFID         FID    = ^FID(0)                // no fid: Tattach without authentication
	NoUID         uint32 = ^uint32(0)             // n_uname or a gid that is not given
	MinMsize             = 4096                   // smallest msize that a peer may ask for; Linux and QEMU draw the same line
	MaxWalk              = 16                     // names in one Twalk (MAXWELEM)
	MaxName              = 255                    // a file's name (NAME_MAX)
	HeaderSize           = 4 + 1 + 2              // size[4] type[1] tag[2]
	ReadHeadSize         = HeaderSize + 4         // head of Rread and Rreaddir; Rlerror is as long
	WriteHeadSize        = HeaderSize + 4 + 8 + 4 // head of Twrite
	MaxErrorText         = 256                    // an error's text (ERRMAX of Plan 9's libc.h is 128); servers in Go know no limit
	ErrorRoom            = HeaderSize + 2 + MaxErrorText + 4
	IOHeaderSize         = 24 // what Linux takes off msize for a payload (P9_IOHDRSZ): one for both directions
)

// FID is a number that the client chose for a file on the server.
type FID uint32

// QIDType is the first byte of a [QID].
type QIDType uint8

// Bits of a [QIDType].
const (
	QTDir     QIDType = 0x80
	QTAppend  QIDType = 0x40
	QTExcl    QIDType = 0x20
	QTAuth    QIDType = 0x08
	QTTmp     QIDType = 0x04
	QTSymlink QIDType = 0x02
	QTFile    QIDType = 0x00
)

// QID is the server's identification of a file: two files are the same if Type and Path are equal. Version changes
// with the content on servers that keep it; diod answers 0 for ever.
type QID struct {
	Type    QIDType
	Version uint32
	Path    uint64
}

// IsDir reports whether the file is a directory.
func (q QID) IsDir() bool { return q.Type&QTDir != 0 }

// SameFile reports whether both are the same file, whatever its version.
func (q QID) SameFile(o QID) bool { return q.Type == o.Type && q.Path == o.Path }

func (q QID) String() string { return fmt.Sprintf("%02x.%x.%d", uint8(q.Type), q.Path, q.Version) }

// AttrMask selects fields of [Attr] in Tgetattr's request_mask and Rgetattr's valid.
type AttrMask uint64

// Bits of an [AttrMask].
const (
	AttrMode        AttrMask = 0x1
	AttrNlink       AttrMask = 0x2
	AttrUID         AttrMask = 0x4
	AttrGID         AttrMask = 0x8
	AttrRdev        AttrMask = 0x10
	AttrAtime       AttrMask = 0x20
	AttrMtime       AttrMask = 0x40
	AttrCtime       AttrMask = 0x80
	AttrIno         AttrMask = 0x100
	AttrSize        AttrMask = 0x200
	AttrBlocks      AttrMask = 0x400
	AttrBtime       AttrMask = 0x800
	AttrGen         AttrMask = 0x1000
	AttrDataVersion AttrMask = 0x2000
	AttrBasic       AttrMask = 0x7ff // what stat(2) shows
	AttrAll         AttrMask = 0x3fff
)

// Timespec is a time as the protocol carries it: seconds since 1970 and nanoseconds.
type Timespec struct{ Sec, Nsec uint64 }

// Attr is what Rgetattr tells of a file. Only the fields named in Valid mean anything.
type Attr struct {
	Valid       AttrMask
	QID         QID
	Mode        uint32 // st_mode, type bits included
	UID, GID    uint32
	Nlink       uint64
	Rdev        uint64 // as Linux's userspace dev_t
	Size        uint64 // bytes
	BlockSize   uint64 // preferred size of I/O in bytes
	Blocks      uint64 // in units of 512 bytes
	Atime       Timespec
	Mtime       Timespec
	Ctime       Timespec
	Btime       Timespec
	Gen         uint64
	DataVersion uint64
}

// SetMask selects what Tsetattr changes.
type SetMask uint32

// Bits of a [SetMask]. A time's bit without its ...Given bit means the server's now.
const (
	SetMode       SetMask = 0x1
	SetUID        SetMask = 0x2
	SetGID        SetMask = 0x4
	SetSize       SetMask = 0x8
	SetAtime      SetMask = 0x10
	SetMtime      SetMask = 0x20
	SetCtime      SetMask = 0x40
	SetAtimeGiven SetMask = 0x80
	SetMtimeGiven SetMask = 0x100
)

// SetAttr is what Tsetattr is to change: the fields that Valid names.
type SetAttr struct {
	Valid    SetMask
	Mode     uint32 // permission bits
	UID, GID uint32
	Size     uint64
	Atime    Timespec
	Mtime    Timespec
}

// Statfs is what Rstatfs tells of the file system behind a fid, in units of BlockSize bytes.
type Statfs struct {
	Type      uint32
	BlockSize uint32
	Blocks    uint64
	BlocksFree,
	BlocksAvail uint64
	Files, FilesFree uint64
	FSID             uint64
	NameLength       uint32
}

// LockType is the kind of a byte-range lock.
type LockType uint8

// Kinds of locks.
const (
	ReadLock  LockType = 0
	WriteLock LockType = 1
	Unlock    LockType = 2
)

// Flags of Tlock.
const (
	LockBlock   uint32 = 1 // the client is ready to wait; every known server answers LockBlocked all the same
	LockReclaim uint32 = 2 // taken again after the server restarted
)

// LockStatus is the answer to Tlock.
type LockStatus uint8

// Answers to Tlock.
const (
	LockSuccess LockStatus = 0
	LockBlocked LockStatus = 1 // another owner holds it: ask again later
	LockError   LockStatus = 2
	LockGrace   LockStatus = 3 // the server restarted and takes only reclaims
)

// UnlinkDir in Tunlinkat's flags removes a directory (AT_REMOVEDIR).
const UnlinkDir uint32 = 0x200

// Flags of Txattrcreate, as setxattr(2).
const (
	XattrCreate  uint32 = 1
	XattrReplace uint32 = 2
)

// Open flags of Tlopen and Tlcreate. They are Linux's asm-generic numbers on every machine (9P2000.L's
// P9_DOTL_*), which differ from the host's own on some.
const (
	OpenReadOnly  uint32 = 0o0
	OpenWriteOnly uint32 = 0o1
	OpenReadWrite uint32 = 0o2
	OpenAccess    uint32 = 0o3 // mask of the three above
	OpenCreate    uint32 = 0o100
	OpenExcl      uint32 = 0o200
	OpenNoctty    uint32 = 0o400
	OpenTrunc     uint32 = 0o1000
	OpenAppend    uint32 = 0o2000
	OpenNonblock  uint32 = 0o4000
	OpenDsync     uint32 = 0o10000
	OpenFasync    uint32 = 0o20000
	OpenDirect    uint32 = 0o40000
	OpenLarge     uint32 = 0o100000
	OpenDirectory uint32 = 0o200000
	OpenNofollow  uint32 = 0o400000
	OpenNoatime   uint32 = 0o1000000
	OpenCloexec   uint32 = 0o2000000
	OpenSync      uint32 = 0o4000000
)
