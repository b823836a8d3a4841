package ninep

// Treaddir reads directory entries from the cookie Offset, at most Count bytes of them.
type Treaddir struct {
	Fid    FID
	Offset uint64
	Count  uint32
}

// Type returns the message's number.
func (*Treaddir) Type() MsgType { return TypeTreaddir }

func (m *Treaddir) fields(c *codec) {
	c.fid(&m.Fid)
	c.u64(&m.Offset)
	c.u32(&m.Count)
}

// Rreaddir answers Treaddir with whole entries; none means the end.
type Rreaddir struct {
	Data []byte
}

// Type returns the message's number.
func (*Rreaddir) Type() MsgType { return TypeRreaddir }

func (m *Rreaddir) fields(c *codec) {
	c.data(&m.Data)
}

// Tfsync makes a file durable; DataOnly, which old clients leave out, is fdatasync's.
type Tfsync struct {
	Fid      FID
	DataOnly uint32
}

// Type returns the message's number.
func (*Tfsync) Type() MsgType { return TypeTfsync }

func (m *Tfsync) fields(c *codec) {
	c.fid(&m.Fid)
	if !c.decoding || len(c.buf) > 0 {
		c.u32(&m.DataOnly)
	}
}

// Rfsync answers Tfsync.
type Rfsync struct{}

// Type returns the message's number.
func (*Rfsync) Type() MsgType { return TypeRfsync }

func (*Rfsync) fields(*codec) {}

// Tread reads at most Count bytes at Offset.
type Tread struct {
	Fid    FID
	Offset uint64
	Count  uint32
}

// Type returns the message's number.
func (*Tread) Type() MsgType { return TypeTread }

func (m *Tread) fields(c *codec) {
	c.fid(&m.Fid)
	c.u64(&m.Offset)
	c.u32(&m.Count)
}

// Rread answers Tread.
type Rread struct {
	Data []byte
}

// Type returns the message's number.
func (*Rread) Type() MsgType { return TypeRread }

func (m *Rread) fields(c *codec) {
	c.data(&m.Data)
}

// Twrite writes Data at Offset.
type Twrite struct {
	Fid    FID
	Offset uint64
	Data   []byte
}

// Type returns the message's number.
func (*Twrite) Type() MsgType { return TypeTwrite }

func (m *Twrite) fields(c *codec) {
	c.fid(&m.Fid)
	c.u64(&m.Offset)
	c.data(&m.Data)
}

// Rwrite answers Twrite with the bytes written.
type Rwrite struct {
	Count uint32
}

// Type returns the message's number.
func (*Rwrite) Type() MsgType { return TypeRwrite }

func (m *Rwrite) fields(c *codec) {
	c.u32(&m.Count)
}
