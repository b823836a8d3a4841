package ninep

import "bytes"

// The messages of 9P2000 and 9P2000.u that 9P2000.L has others for. Their source is section 5 of the Plan 9 manual.

// Topen opens the fid's file; Mode is an access mode, and the Classic flags.
type Topen struct {
	Fid  FID
	Mode uint8
}

// Type returns the message's number.
func (*Topen) Type() MsgType { return TypeTopen }

func (m *Topen) fields(c *codec) {
	c.fid(&m.Fid)
	c.u8(&m.Mode)
}

// Ropen answers Topen; IOUnit 0 means msize less a header.
type Ropen struct {
	QID    QID
	IOUnit uint32
}

// Type returns the message's number.
func (*Ropen) Type() MsgType { return TypeRopen }

func (m *Ropen) fields(c *codec) {
	c.qid(&m.QID)
	c.u32(&m.IOUnit)
}

// Tcreate makes a file in the fid's directory and opens it; the fid becomes the file's. It fails for a name that exists.
type Tcreate struct {
	Fid  FID
	Name string
	Perm StatMode // what kind of file, and its permissions
	Mode uint8    // how it is opened, as in Topen
	// Extension is what a file that is none of Plan 9's is made of: a symbolic link's target, "b MAJOR MINOR" or "c MAJOR
	// MINOR" of a device, the number of the fid of whose file a hard link is to be a name. Not in 9P2000.
	Extension string
}

// Type returns the message's number.
func (*Tcreate) Type() MsgType { return TypeTcreate }

func (m *Tcreate) fields(c *codec) {
	c.fid(&m.Fid)
	c.str(&m.Name)
	c.u32((*uint32)(&m.Perm))
	c.u8(&m.Mode)
	if c.dialect == DialectU {
		c.str(&m.Extension)
	}
}

// Rcreate answers Tcreate.
type Rcreate struct {
	QID    QID
	IOUnit uint32
}

// Type returns the message's number.
func (*Rcreate) Type() MsgType { return TypeRcreate }

func (m *Rcreate) fields(c *codec) {
	c.qid(&m.QID)
	c.u32(&m.IOUnit)
}

// Tstat asks for a file's description.
type Tstat struct {
	Fid FID
}

// Type returns the message's number.
func (*Tstat) Type() MsgType { return TypeTstat }

func (m *Tstat) fields(c *codec) {
	c.fid(&m.Fid)
}

// Rstat answers Tstat.
type Rstat struct {
	Stat Stat
}

// Type returns the message's number.
func (*Rstat) Type() MsgType { return TypeRstat }

// fields takes a count of 0 before the stat for any: QEMU sends that (hw/9pfs/9p.c, v9fs_stat), and Linux's client looks at
// none (net/9p/client.c, p9_client_stat).
func (m *Rstat) fields(c *codec) {
	if c.decoding && bytes.HasPrefix(c.buf, []byte{0, 0}) {
		c.take(2)
		c.stat(&m.Stat)
		return
	}
	c.countedStat(&m.Stat)
}

// Twstat changes what Stat says other than [UntouchedStat], all of it or nothing. One that is to change nothing makes the file
// durable.
type Twstat struct {
	Fid  FID
	Stat Stat
}

// Type returns the message's number.
func (*Twstat) Type() MsgType { return TypeTwstat }

func (m *Twstat) fields(c *codec) {
	c.fid(&m.Fid)
	c.countedStat(&m.Stat)
}

// Rwstat answers Twstat.
type Rwstat struct{}

// Type returns the message's number.
func (*Rwstat) Type() MsgType { return TypeRwstat }

func (*Rwstat) fields(*codec) {}
