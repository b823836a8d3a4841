package ninep

// Tsymlink makes a symbolic link in the fid's directory.
type Tsymlink struct {
	Fid    FID
	Name   string
	Target string
	GID    uint32
}

// Type returns the message's number.
func (*Tsymlink) Type() MsgType { return TypeTsymlink }

func (m *Tsymlink) fields(c *codec) {
	c.fid(&m.Fid)
	c.str(&m.Name)
	c.str(&m.Target)
	c.u32(&m.GID)
}

// Rsymlink answers Tsymlink.
type Rsymlink struct {
	QID QID
}

// Type returns the message's number.
func (*Rsymlink) Type() MsgType { return TypeRsymlink }

func (m *Rsymlink) fields(c *codec) {
	c.qid(&m.QID)
}

// Tmknod makes a special file in the fid's directory; Mode has its type.
type Tmknod struct {
	Fid   FID
	Name  string
	Mode  uint32
	Major uint32
	Minor uint32
	GID   uint32
}

// Type returns the message's number.
func (*Tmknod) Type() MsgType { return TypeTmknod }

func (m *Tmknod) fields(c *codec) {
	c.fid(&m.Fid)
	c.str(&m.Name)
	c.u32(&m.Mode)
	c.u32(&m.Major)
	c.u32(&m.Minor)
	c.u32(&m.GID)
}

// Rmknod answers Tmknod.
type Rmknod struct {
	QID QID
}

// Type returns the message's number.
func (*Rmknod) Type() MsgType { return TypeRmknod }

func (m *Rmknod) fields(c *codec) {
	c.qid(&m.QID)
}

// Trename moves the fid's file to Name in Dir.
type Trename struct {
	Fid  FID
	Dir  FID
	Name string
}

// Type returns the message's number.
func (*Trename) Type() MsgType { return TypeTrename }

func (m *Trename) fields(c *codec) {
	c.fid(&m.Fid)
	c.fid(&m.Dir)
	c.str(&m.Name)
}

// Rrename answers Trename.
type Rrename struct{}

// Type returns the message's number.
func (*Rrename) Type() MsgType { return TypeRrename }

func (*Rrename) fields(*codec) {}

// Treadlink reads a symbolic link.
type Treadlink struct {
	Fid FID
}

// Type returns the message's number.
func (*Treadlink) Type() MsgType { return TypeTreadlink }

func (m *Treadlink) fields(c *codec) {
	c.fid(&m.Fid)
}

// Rreadlink answers Treadlink.
type Rreadlink struct {
	Target string
}

// Type returns the message's number.
func (*Rreadlink) Type() MsgType { return TypeRreadlink }

func (m *Rreadlink) fields(c *codec) {
	c.str(&m.Target)
}

// Tlink makes Name in Dir another name of the fid's file.
type Tlink struct {
	Dir  FID
	Fid  FID
	Name string
}

// Type returns the message's number.
func (*Tlink) Type() MsgType { return TypeTlink }

func (m *Tlink) fields(c *codec) {
	c.fid(&m.Dir)
	c.fid(&m.Fid)
	c.str(&m.Name)
}

// Rlink answers Tlink.
type Rlink struct{}

// Type returns the message's number.
func (*Rlink) Type() MsgType { return TypeRlink }

func (*Rlink) fields(*codec) {}

// Tmkdir makes a directory in the fid's.
type Tmkdir struct {
	Fid  FID
	Name string
	Mode uint32
	GID  uint32
}

// Type returns the message's number.
func (*Tmkdir) Type() MsgType { return TypeTmkdir }

func (m *Tmkdir) fields(c *codec) {
	c.fid(&m.Fid)
	c.str(&m.Name)
	c.u32(&m.Mode)
	c.u32(&m.GID)
}

// Rmkdir answers Tmkdir.
type Rmkdir struct {
	QID QID
}

// Type returns the message's number.
func (*Rmkdir) Type() MsgType { return TypeRmkdir }

func (m *Rmkdir) fields(c *codec) {
	c.qid(&m.QID)
}

// Trenameat moves a file by its names.
type Trenameat struct {
	OldDir  FID
	OldName string
	NewDir  FID
	NewName string
}

// Type returns the message's number.
func (*Trenameat) Type() MsgType { return TypeTrenameat }

func (m *Trenameat) fields(c *codec) {
	c.fid(&m.OldDir)
	c.str(&m.OldName)
	c.fid(&m.NewDir)
	c.str(&m.NewName)
}

// Rrenameat answers Trenameat.
type Rrenameat struct{}

// Type returns the message's number.
func (*Rrenameat) Type() MsgType { return TypeRrenameat }

func (*Rrenameat) fields(*codec) {}

// Tunlinkat removes a name; Flags is UnlinkDir for a directory.
type Tunlinkat struct {
	Dir   FID
	Name  string
	Flags uint32
}

// Type returns the message's number.
func (*Tunlinkat) Type() MsgType { return TypeTunlinkat }

func (m *Tunlinkat) fields(c *codec) {
	c.fid(&m.Dir)
	c.str(&m.Name)
	c.u32(&m.Flags)
}

// Runlinkat answers Tunlinkat.
type Runlinkat struct{}

// Type returns the message's number.
func (*Runlinkat) Type() MsgType { return TypeRunlinkat }

func (*Runlinkat) fields(*codec) {}

// Tremove removes the fid's file and gives the fid back, which is gone even if the answer is an error.
type Tremove struct {
	Fid FID
}

// Type returns the message's number.
func (*Tremove) Type() MsgType { return TypeTremove }

func (m *Tremove) fields(c *codec) {
	c.fid(&m.Fid)
}

// Rremove answers Tremove.
type Rremove struct{}

// Type returns the message's number.
func (*Rremove) Type() MsgType { return TypeRremove }

func (*Rremove) fields(*codec) {}
