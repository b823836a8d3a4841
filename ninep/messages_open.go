package ninep

// Tlopen opens the fid's file; Flags are the Open constants.
type Tlopen struct {
	Fid   FID
	Flags uint32
}

// Type returns the message's number.
func (*Tlopen) Type() MsgType { return TypeTlopen }

func (m *Tlopen) fields(c *codec) {
	c.fid(&m.Fid)
	c.u32(&m.Flags)
}

// Rlopen answers Tlopen; IOUnit 0 means msize less a header.
type Rlopen struct {
	QID    QID
	IOUnit uint32
}

// Type returns the message's number.
func (*Rlopen) Type() MsgType { return TypeRlopen }

func (m *Rlopen) fields(c *codec) {
	c.qid(&m.QID)
	c.u32(&m.IOUnit)
}

// Tlcreate makes a regular file in the fid's directory and opens it; the fid becomes the file's.
type Tlcreate struct {
	Fid   FID
	Name  string
	Flags uint32
	Mode  uint32
	GID   uint32
}

// Type returns the message's number.
func (*Tlcreate) Type() MsgType { return TypeTlcreate }

func (m *Tlcreate) fields(c *codec) {
	c.fid(&m.Fid)
	c.str(&m.Name)
	c.u32(&m.Flags)
	c.u32(&m.Mode)
	c.u32(&m.GID)
}

// Rlcreate answers Tlcreate.
type Rlcreate struct {
	QID    QID
	IOUnit uint32
}

// Type returns the message's number.
func (*Rlcreate) Type() MsgType { return TypeRlcreate }

func (m *Rlcreate) fields(c *codec) {
	c.qid(&m.QID)
	c.u32(&m.IOUnit)
}

// Twalk binds NewFid to the file that Names lead to from the fid's directory.
type Twalk struct {
	Fid    FID
	NewFid FID
	Names  []string
}

// Type returns the message's number.
func (*Twalk) Type() MsgType { return TypeTwalk }

func (m *Twalk) fields(c *codec) {
	c.fid(&m.Fid)
	c.fid(&m.NewFid)
	c.names(&m.Names)
}

// Rwalk answers Twalk with the files walked; fewer than asked leave NewFid unbound.
type Rwalk struct {
	QIDs []QID
}

// Type returns the message's number.
func (*Rwalk) Type() MsgType { return TypeRwalk }

func (m *Rwalk) fields(c *codec) {
	c.qids(&m.QIDs)
}
