package ninep

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrMalformed is what every message that cannot be decoded wraps.
var ErrMalformed = errors.New("malformed 9P message")

// ErrTooLong means that a string of a message has more bytes than its length field can tell.
var ErrTooLong = errors.New("string too long for a 9P message")

// codec runs over a message's fields in the order of the wire, in one direction or the other, so that a layout is
// written down once (Sun's XDR filters are the model). The first error sticks and stops all that follows.
type codec struct {
	buf      []byte // encoding: what was written; decoding: what is left
	payload  []byte // encoding: payload met, counted but not written
	decoding bool
	dialect  Dialect
	err      error
}

// take returns the next n bytes of a message being decoded, or nil with the error set.
func (c *codec) take(n int) []byte {
	if c.err != nil {
		return nil
	}
	if n > len(c.buf) {
		c.fail("%d bytes wanted, %d left", n, len(c.buf))
		return nil
	}
	b := c.buf[:n:n]
	c.buf = c.buf[n:]
	return b
}

func (c *codec) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
	}
}

func (c *codec) u8(v *uint8) {
	if !c.decoding {
		c.buf = append(c.buf, *v)
	} else if b := c.take(1); b != nil {
		*v = b[0]
	}
}

func (c *codec) u16(v *uint16) {
	if !c.decoding {
		c.buf = binary.LittleEndian.AppendUint16(c.buf, *v)
	} else if b := c.take(2); b != nil {
		*v = binary.LittleEndian.Uint16(b)
	}
}

func (c *codec) u32(v *uint32) {
	if !c.decoding {
		c.buf = binary.LittleEndian.AppendUint32(c.buf, *v)
	} else if b := c.take(4); b != nil {
		*v = binary.LittleEndian.Uint32(b)
	}
}

func (c *codec) u64(v *uint64) {
	if !c.decoding {
		c.buf = binary.LittleEndian.AppendUint64(c.buf, *v)
	} else if b := c.take(8); b != nil {
		*v = binary.LittleEndian.Uint64(b)
	}
}

func (c *codec) fid(v *FID) { c.u32((*uint32)(v)) }

// uid codes an owner by number, which 9P2000 leaves out.
func (c *codec) uid(v *uint32) {
	switch {
	case c.dialect != DialectLegacy:
		c.u32(v)
	case c.decoding:
		*v = NoUID
	}
}

func (c *codec) str(v *string) {
	if c.decoding {
		var n uint16
		c.u16(&n)
		*v = string(c.take(int(n)))
		return
	}
	if len(*v) > math.MaxUint16 {
		if c.err == nil {
			c.err = fmt.Errorf("%w: %d bytes", ErrTooLong, len(*v))
		}
		return
	}
	c.buf = binary.LittleEndian.AppendUint16(c.buf, uint16(len(*v)))
	c.buf = append(c.buf, *v...)
}

// names codes Twalk's nwname[2] nwname*(wname[s]).
func (c *codec) names(v *[]string) {
	n, ok := c.count(len(*v))
	if !ok {
		return
	}
	if c.decoding {
		*v = make([]string, n)
	}
	for i := range *v {
		c.str(&(*v)[i])
	}
}

// qids codes Rwalk's nwqid[2] nwqid*(wqid[13]).
func (c *codec) qids(v *[]QID) {
	n, ok := c.count(len(*v))
	if !ok {
		return
	}
	if c.decoding {
		*v = make([]QID, n)
	}
	for i := range *v {
		c.qid(&(*v)[i])
	}
}

// count codes the number of elements of a walk and bounds it by [MaxWalk] before anything is allocated.
func (c *codec) count(n int) (int, bool) {
	v := uint16(min(n, math.MaxUint16))
	c.u16(&v)
	if v > MaxWalk {
		c.fail("%d names in a walk, %d allowed", v, MaxWalk)
	}
	return int(v), c.err == nil
}

func (c *codec) qid(v *QID) {
	c.u8((*uint8)(&v.Type))
	c.u32(&v.Version)
	c.u64(&v.Path)
}

func (c *codec) time(v *Timespec) {
	c.u64(&v.Sec)
	c.u64(&v.Nsec)
}

// data codes count[4] data[count]. Encoding leaves the data where it is, decoding makes it an alias of the frame.
func (c *codec) data(v *[]byte) {
	n := uint32(len(*v))
	c.u32(&n)
	if c.decoding {
		*v = c.take(int(n))
	} else {
		c.payload = *v
	}
}

// Append is [Dialect.Append] of 9P2000.L.
func Append(dst []byte, tag uint16, m Message) ([]byte, error) { return DialectL.Append(dst, tag, m) }

// Append appends the head of the message to dst: all of it but the payload of Twrite, Rread and Rreaddir, which size[4]
// counts and which [Payload] returns. It fails only with [ErrTooLong], or when a walk has more than [MaxWalk] names.
func (d Dialect) Append(dst []byte, tag uint16, m Message) ([]byte, error) {
	c := codec{buf: begin(dst, m.Type(), tag), dialect: d}
	m.fields(&c)
	return c.end(len(dst))
}

// begin appends a header whose size is filled in by end.
func begin(dst []byte, t MsgType, tag uint16) []byte {
	dst = append(dst, 0, 0, 0, 0, byte(t))
	return binary.LittleEndian.AppendUint16(dst, tag)
}

// end completes the message that starts at byte start of the buffer.
func (c *codec) end(start int) ([]byte, error) {
	if c.err != nil {
		return c.buf[:start], c.err
	}
	binary.LittleEndian.PutUint32(c.buf[start:], uint32(len(c.buf)-start+len(c.payload)))
	return c.buf, nil
}

// Payload returns the payload of the message as the caller put it there, nil for a message that has none.
func Payload(m Message) []byte {
	switch m := m.(type) {
	case *Twrite:
		return m.Data
	case *Rread:
		return m.Data
	case *Rreaddir:
		return m.Data
	}
	return nil
}

// Header is the first seven bytes of every message.
type Header struct {
	Size uint32 // of the whole message, these bytes included
	Type MsgType
	Tag  uint16
}

// ParseHeader reads a message's header. It fails if b is too short or the size is less than a header's.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("%w: %d bytes are no header", ErrMalformed, len(b))
	}
	h := Header{Size: binary.LittleEndian.Uint32(b), Type: MsgType(b[4]), Tag: binary.LittleEndian.Uint16(b[5:])}
	if h.Size < HeaderSize {
		return h, fmt.Errorf("%w: size %d is less than a header's", ErrMalformed, h.Size)
	}
	return h, nil
}

// Decode is [Dialect.Decode] of 9P2000.L.
func Decode(frame []byte) (tag uint16, m Message, err error) { return DialectL.Decode(frame) }

// Decode decodes a whole, contiguous message. Strings are copied; a payload aliases the frame. The tag is returned
// even with an error, if the frame was long enough to hold one. Errors wrap [ErrMalformed], and [ErrUnknownType] too
// where the type is none of the dialect's.
func (d Dialect) Decode(frame []byte) (tag uint16, m Message, err error) {
	h, err := ParseHeader(frame)
	if err != nil {
		return h.Tag, nil, err
	}
	if int64(h.Size) != int64(len(frame)) {
		return h.Tag, nil, fmt.Errorf("%w: size %d in a frame of %d bytes", ErrMalformed, h.Size, len(frame))
	}
	if m = d.NewMessage(h.Type); m == nil {
		return h.Tag, nil, fmt.Errorf("%w: %w %d", ErrMalformed, ErrUnknownType, h.Type)
	}
	if err := d.DecodeBody(frame[HeaderSize:], m); err != nil {
		return h.Tag, nil, err
	}
	return h.Tag, m, nil
}

// DecodeBody is [Dialect.DecodeBody] of 9P2000.L.
func DecodeBody(body []byte, m Message) error { return DialectL.DecodeBody(body, m) }

// DecodeBody decodes what follows the header into m, whose type the caller knows from there. Every byte of the body
// must belong to the message. Errors wrap [ErrMalformed].
func (d Dialect) DecodeBody(body []byte, m Message) error {
	c := codec{buf: body, decoding: true, dialect: d}
	m.fields(&c)
	if c.err == nil && len(c.buf) != 0 {
		c.fail("%d bytes after the end", len(c.buf))
	}
	if c.err != nil {
		return fmt.Errorf("%v: %w", m.Type(), c.err)
	}
	return nil
}
