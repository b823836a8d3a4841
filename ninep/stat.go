package ninep

import (
	"encoding/binary"
	"math"
)

// Access modes and flags of Topen and Tcreate (open(5)).
const (
	ClassicRead   uint8 = 0
	ClassicWrite  uint8 = 1
	ClassicRDWR   uint8 = 2
	ClassicExec   uint8 = 3 // reads, and asks for the permission to execute
	ClassicAccess uint8 = 3 // mask of the four above
	ClassicTrunc  uint8 = 0x10
	ClassicRClose uint8 = 0x40 // removes the file on Tclunk
	ClassicAppend uint8 = 0x80 // of 9P2000.u as Linux and QEMU speak it (P9_OAPPEND)
)

// StatMode is a file's mode in a [Stat] and in Tcreate: nine bits of permissions, and what kind of file it is.
type StatMode uint32

// Bits of a [StatMode]. The first five are those of a [QIDType], 24 bits up.
const (
	DMDir       StatMode = 0x80000000
	DMAppend    StatMode = 0x40000000
	DMExcl      StatMode = 0x20000000
	DMAuth      StatMode = 0x08000000
	DMTmp       StatMode = 0x04000000
	DMSymlink   StatMode = 0x02000000 // this one and those that follow are 9P2000.u's
	DMLink      StatMode = 0x01000000 // of Tcreate only: a hard link
	DMDevice    StatMode = 0x00800000
	DMNamedPipe StatMode = 0x00200000
	DMSocket    StatMode = 0x00100000
	DMSetUID    StatMode = 0x00080000
	DMSetGID    StatMode = 0x00040000
	DMSetVTX    StatMode = 0x00010000 // sticky
)

// Stat is how 9P2000 and 9P2000.u describe a file: in Rstat, in Twstat, and as an entry of a directory, whose Tread yields whole
// ones (stat(5)).
type Stat struct {
	Kind   uint16 // for the use of a kernel, as Dev: 0 on the wire, but in Twstat
	Dev    uint32
	QID    QID
	Mode   StatMode
	Atime  uint32 // seconds since 1970
	Mtime  uint32 // seconds since 1970
	Length uint64 // bytes; 0 for a directory
	Name   string // last element of the path; "/" for the root of a server
	UID    string // owner
	GID    string // group
	MUID   string // who modified the file last

	// The rest is not in 9P2000.
	Extension string // as in Tcreate; "HARDLINKCOUNT n" of a regular file or a directory tells st_nlink (QEMU, Linux)
	NUID      uint32 // owner by number; NoUID: UID tells
	NGID      uint32
	NMUID     uint32
}

// UntouchedStat returns the Stat that changes nothing in a Twstat: all ones and empty strings (stat(5)).
func UntouchedStat() Stat {
	return Stat{
		Kind: math.MaxUint16, Dev: math.MaxUint32,
		QID:  QID{Type: math.MaxUint8, Version: math.MaxUint32, Path: math.MaxUint64},
		Mode: math.MaxUint32, Atime: math.MaxUint32, Mtime: math.MaxUint32, Length: math.MaxUint64,
		NUID: NoUID, NGID: NoUID, NMUID: NoUID,
	}
}

func (s *Stat) fields(c *codec) {
	c.u16(&s.Kind)
	c.u32(&s.Dev)
	c.qid(&s.QID)
	c.u32((*uint32)(&s.Mode))
	c.u32(&s.Atime)
	c.u32(&s.Mtime)
	c.u64(&s.Length)
	c.str(&s.Name)
	c.str(&s.UID)
	c.str(&s.GID)
	c.str(&s.MUID)
	if c.dialect == DialectU {
		c.str(&s.Extension)
	}
	c.uid(&s.NUID)
	c.uid(&s.NGID)
	c.uid(&s.NMUID)
}

// AppendStat appends an entry to the data of a directory's Rread, as the dialect has it. It fails only with [ErrTooLong].
func (d Dialect) AppendStat(dst []byte, s Stat) ([]byte, error) {
	c := codec{buf: dst, dialect: d}
	c.stat(&s)
	if c.err != nil {
		return dst, c.err
	}
	return c.buf, nil
}

// NextStat decodes the first entry of the data of a directory's Rread, and returns what follows it. Errors wrap
// [ErrMalformed]. A name is as the server sent it: whoever makes a path of it has to check it.
func (d Dialect) NextStat(data []byte) (s Stat, rest []byte, err error) {
	c := codec{buf: data, decoding: true, dialect: d}
	c.stat(&s)
	return s, c.buf, c.err
}

// stat codes size[2] and the fields that it counts.
func (c *codec) stat(s *Stat) {
	c.counted(func(c *codec) { s.fields(c) })
}

// countedStat codes a Stat as messages have it, with another count around it.
func (c *codec) countedStat(s *Stat) {
	c.counted(func(c *codec) { c.stat(s) })
}

// counted codes n[2] and the n bytes that fields takes, neither more nor less.
func (c *codec) counted(fields func(*codec)) {
	var n uint16
	start := len(c.buf)
	c.u16(&n)
	if c.decoding {
		inner := codec{buf: c.take(int(n)), decoding: true, dialect: c.dialect, err: c.err}
		fields(&inner)
		if len(inner.buf) != 0 {
			inner.fail("%d bytes after the end of a stat", len(inner.buf))
		}
		c.err = inner.err
		return
	}
	fields(c)
	size := len(c.buf) - start - 2
	if c.err == nil && size > math.MaxUint16 {
		c.err = ErrTooLong
	}
	if c.err == nil {
		binary.LittleEndian.PutUint16(c.buf[start:], uint16(size))
	}
}
