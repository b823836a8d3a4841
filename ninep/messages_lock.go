package ninep

// Tlock takes or gives back a byte-range lock; Length 0 is to the end of the file.
type Tlock struct {
	Fid      FID
	Kind     LockType
	Flags    uint32
	Start    uint64
	Length   uint64
	ProcID   uint32
	ClientID string
}

// Type returns the message's number.
func (*Tlock) Type() MsgType { return TypeTlock }

func (m *Tlock) fields(c *codec) {
	c.fid(&m.Fid)
	c.u8((*uint8)(&m.Kind))
	c.u32(&m.Flags)
	c.u64(&m.Start)
	c.u64(&m.Length)
	c.u32(&m.ProcID)
	c.str(&m.ClientID)
}

// Rlock answers Tlock.
type Rlock struct {
	Status LockStatus
}

// Type returns the message's number.
func (*Rlock) Type() MsgType { return TypeRlock }

func (m *Rlock) fields(c *codec) {
	c.u8((*uint8)(&m.Status))
}

// Tgetlock asks whether a lock could be taken.
type Tgetlock struct {
	Fid      FID
	Kind     LockType
	Start    uint64
	Length   uint64
	ProcID   uint32
	ClientID string
}

// Type returns the message's number.
func (*Tgetlock) Type() MsgType { return TypeTgetlock }

func (m *Tgetlock) fields(c *codec) {
	c.fid(&m.Fid)
	c.u8((*uint8)(&m.Kind))
	c.u64(&m.Start)
	c.u64(&m.Length)
	c.u32(&m.ProcID)
	c.str(&m.ClientID)
}

// Rgetlock answers Tgetlock with a lock in the way, or Kind Unlock.
type Rgetlock struct {
	Kind     LockType
	Start    uint64
	Length   uint64
	ProcID   uint32
	ClientID string
}

// Type returns the message's number.
func (*Rgetlock) Type() MsgType { return TypeRgetlock }

func (m *Rgetlock) fields(c *codec) {
	c.u8((*uint8)(&m.Kind))
	c.u64(&m.Start)
	c.u64(&m.Length)
	c.u32(&m.ProcID)
	c.str(&m.ClientID)
}
