package ninep

// Tstatfs asks for the figures of the file system behind a fid.
type Tstatfs struct {
	Fid FID
}

// Type returns the message's number.
func (*Tstatfs) Type() MsgType { return TypeTstatfs }

func (m *Tstatfs) fields(c *codec) {
	c.fid(&m.Fid)
}

// Rstatfs answers Tstatfs.
type Rstatfs struct{ Statfs }

// Type returns the message's number.
func (*Rstatfs) Type() MsgType { return TypeRstatfs }

func (m *Rstatfs) fields(c *codec) {
	c.u32(&m.Statfs.Type)
	c.u32(&m.BlockSize)
	c.u64(&m.Blocks)
	c.u64(&m.BlocksFree)
	c.u64(&m.BlocksAvail)
	c.u64(&m.Files)
	c.u64(&m.FilesFree)
	c.u64(&m.FSID)
	c.u32(&m.NameLength)
}

// Tgetattr asks for a file's attributes.
type Tgetattr struct {
	Fid  FID
	Mask AttrMask
}

// Type returns the message's number.
func (*Tgetattr) Type() MsgType { return TypeTgetattr }

func (m *Tgetattr) fields(c *codec) {
	c.fid(&m.Fid)
	c.u64((*uint64)(&m.Mask))
}

// Rgetattr answers Tgetattr.
type Rgetattr struct{ Attr }

// Type returns the message's number.
func (*Rgetattr) Type() MsgType { return TypeRgetattr }

func (m *Rgetattr) fields(c *codec) {
	c.u64((*uint64)(&m.Valid))
	c.qid(&m.QID)
	c.u32(&m.Mode)
	c.u32(&m.UID)
	c.u32(&m.GID)
	c.u64(&m.Nlink)
	c.u64(&m.Rdev)
	c.u64(&m.Size)
	c.u64(&m.BlockSize)
	c.u64(&m.Blocks)
	c.time(&m.Atime)
	c.time(&m.Mtime)
	c.time(&m.Ctime)
	c.time(&m.Btime)
	c.u64(&m.Gen)
	c.u64(&m.DataVersion)
}

// Tsetattr changes a file's attributes.
type Tsetattr struct {
	Fid FID
	SetAttr
}

// Type returns the message's number.
func (*Tsetattr) Type() MsgType { return TypeTsetattr }

func (m *Tsetattr) fields(c *codec) {
	c.fid(&m.Fid)
	c.u32((*uint32)(&m.Valid))
	c.u32(&m.Mode)
	c.u32(&m.UID)
	c.u32(&m.GID)
	c.u64(&m.Size)
	c.time(&m.Atime)
	c.time(&m.Mtime)
}

// Rsetattr answers Tsetattr.
type Rsetattr struct{}

// Type returns the message's number.
func (*Rsetattr) Type() MsgType { return TypeRsetattr }

func (*Rsetattr) fields(*codec) {}

// Txattrwalk binds NewFid to an extended attribute for reading, or to the list of their names if Name is empty.
type Txattrwalk struct {
	Fid    FID
	NewFid FID
	Name   string
}

// Type returns the message's number.
func (*Txattrwalk) Type() MsgType { return TypeTxattrwalk }

func (m *Txattrwalk) fields(c *codec) {
	c.fid(&m.Fid)
	c.fid(&m.NewFid)
	c.str(&m.Name)
}

// Rxattrwalk answers Txattrwalk with the size of what NewFid reads.
type Rxattrwalk struct {
	Size uint64
}

// Type returns the message's number.
func (*Rxattrwalk) Type() MsgType { return TypeRxattrwalk }

func (m *Rxattrwalk) fields(c *codec) {
	c.u64(&m.Size)
}

// Txattrcreate makes the fid the one to write an extended attribute of Size bytes through; Tclunk commits it.
type Txattrcreate struct {
	Fid   FID
	Name  string
	Size  uint64
	Flags uint32
}

// Type returns the message's number.
func (*Txattrcreate) Type() MsgType { return TypeTxattrcreate }

func (m *Txattrcreate) fields(c *codec) {
	c.fid(&m.Fid)
	c.str(&m.Name)
	c.u64(&m.Size)
	c.u32(&m.Flags)
}

// Rxattrcreate answers Txattrcreate.
type Rxattrcreate struct{}

// Type returns the message's number.
func (*Rxattrcreate) Type() MsgType { return TypeRxattrcreate }

func (*Rxattrcreate) fields(*codec) {}
