package ninep

// Rlerror answers any request that failed, with a Linux errno.
type Rlerror struct {
	Errno uint32
}

// Type returns the message's number.
func (*Rlerror) Type() MsgType { return TypeRlerror }

func (m *Rlerror) fields(c *codec) {
	c.u32(&m.Errno)
}

// Tversion opens the conversation: the largest message and the dialect that the client wants.
type Tversion struct {
	Msize   uint32
	Version string
}

// Type returns the message's number.
func (*Tversion) Type() MsgType { return TypeTversion }

func (m *Tversion) fields(c *codec) {
	c.u32(&m.Msize)
	c.str(&m.Version)
}

// Rversion answers Tversion with what the server agrees to.
type Rversion struct {
	Msize   uint32
	Version string
}

// Type returns the message's number.
func (*Rversion) Type() MsgType { return TypeRversion }

func (m *Rversion) fields(c *codec) {
	c.u32(&m.Msize)
	c.str(&m.Version)
}

// Tauth asks for a fid to authenticate through.
type Tauth struct {
	Afid  FID
	Uname string
	Aname string
	UID   uint32 // not in 9P2000
}

// Type returns the message's number.
func (*Tauth) Type() MsgType { return TypeTauth }

func (m *Tauth) fields(c *codec) {
	c.fid(&m.Afid)
	c.str(&m.Uname)
	c.str(&m.Aname)
	c.uid(&m.UID)
}

// Rauth answers Tauth.
type Rauth struct {
	QID QID
}

// Type returns the message's number.
func (*Rauth) Type() MsgType { return TypeRauth }

func (m *Rauth) fields(c *codec) {
	c.qid(&m.QID)
}

// Tattach binds a fid to the root of the tree Aname for a user.
type Tattach struct {
	Fid   FID
	Afid  FID
	Uname string
	Aname string
	UID   uint32 // not in 9P2000
}

// Type returns the message's number.
func (*Tattach) Type() MsgType { return TypeTattach }

func (m *Tattach) fields(c *codec) {
	c.fid(&m.Fid)
	c.fid(&m.Afid)
	c.str(&m.Uname)
	c.str(&m.Aname)
	c.uid(&m.UID)
}

// Rattach answers Tattach.
type Rattach struct {
	QID QID
}

// Type returns the message's number.
func (*Rattach) Type() MsgType { return TypeRattach }

func (m *Rattach) fields(c *codec) {
	c.qid(&m.QID)
}

// Rerror answers any request that failed, by a text, and on 9P2000.u by a number beside it that is the server's errno. On
// 9P2000.L it is what nfs-ganesha answers in place of Rlerror, the number alone as there.
type Rerror struct {
	Ename string // not in 9P2000.L
	Errno uint32 // not in 9P2000
}

// Type returns the message's number.
func (*Rerror) Type() MsgType { return TypeRerror }

func (m *Rerror) fields(c *codec) {
	if c.dialect != DialectL {
		c.str(&m.Ename)
	}
	if c.dialect != DialectLegacy {
		c.u32(&m.Errno)
	}
}

// Tflush says that the answer to OldTag is no longer wanted.
type Tflush struct {
	OldTag uint16
}

// Type returns the message's number.
func (*Tflush) Type() MsgType { return TypeTflush }

func (m *Tflush) fields(c *codec) {
	c.u16(&m.OldTag)
}

// Rflush answers Tflush: no answer to the old tag will follow.
type Rflush struct{}

// Type returns the message's number.
func (*Rflush) Type() MsgType { return TypeRflush }

func (*Rflush) fields(*codec) {}

// Tclunk gives the fid back; it is gone even if the answer is an error.
type Tclunk struct {
	Fid FID
}

// Type returns the message's number.
func (*Tclunk) Type() MsgType { return TypeTclunk }

func (m *Tclunk) fields(c *codec) {
	c.fid(&m.Fid)
}

// Rclunk answers Tclunk.
type Rclunk struct{}

// Type returns the message's number.
func (*Rclunk) Type() MsgType { return TypeRclunk }

func (*Rclunk) fields(*codec) {}
