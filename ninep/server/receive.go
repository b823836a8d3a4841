package server

import (
	"encoding/binary"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// receive reads one request and takes its places at the fids that it names. It returns nil and no error for one that
// needs no worker any more. An error ends the connection.
func (c *conn) receive() (*request, error) {
	head, err := c.in.Peek(ninep.HeaderSize)
	c.inlet.most = readAhead
	if err != nil {
		return nil, err
	}
	h, err := ninep.ParseHeader(head)
	if err != nil {
		return nil, err
	}
	if h.Size > c.msize {
		return nil, fmt.Errorf("%w: %v of %d bytes where %d are agreed", ninep.ErrMalformed, h.Type, h.Size, c.msize)
	}
	// It was peeked at, so it is there.
	_, _ = c.in.Discard(ninep.HeaderSize)
	r := c.server.newRequest()
	r.tag, r.kind, r.dialect = h.Tag, h.Type, c.dialect
	if err := c.receiveBody(r, int(h.Size)-ninep.HeaderSize); err != nil {
		c.recycle(r)
		return nil, err
	}
	if err := c.exchange.add(r); err != nil {
		c.recycle(r)
		return nil, err
	}
	return c.register(r), nil
}

// register takes a request's places, in the order in which requests arrive. It returns nil if no worker is needed.
func (c *conn) register(r *request) *request {
	switch m := r.msg.(type) {
	case *ninep.Tversion:
		c.version(r, m)
		return nil
	case *ninep.Tflush:
		if c.exchange.flush(r, m.OldTag) {
			return nil
		}
		return r
	}
	if r.err == nil && !c.agreed {
		r.err = errNoVersion
	}
	if r.err == nil {
		r.err = c.claim(r)
	}
	return r
}

func (c *conn) receiveBody(r *request, n int) error {
	switch r.kind {
	case ninep.TypeTwrite:
		return c.receiveWrite(r, n)
	case ninep.TypeTread:
		return c.receiveRead(r, n)
	}
	body := r.bodyRoom[:0]
	r.charge(c, 0)
	if n > len(r.bodyRoom) {
		r.charge(c, bufferSize(n))
		r.body = c.server.buffers.get(n)
		body = r.body.bytes
	}
	body = body[:n]
	if _, err := io.ReadFull(c.in, body); err != nil {
		return err
	}
	r.msg = c.dialect.NewMessage(r.kind)
	if r.msg == nil || r.kind&1 == 1 {
		r.msg, r.err = nil, ninep.ErrUnknownType
		return nil
	}
	if err := c.dialect.DecodeBody(body, r.msg); err != nil {
		return err
	}
	if m, ok := r.msg.(*ninep.Treaddir); ok {
		r.charge(c, c.replyRoom(m.Count))
	}
	return nil
}

const (
	ioFields = 4 + 8 + 4 // fid[4] offset[8] count[4] of Tread and Twrite
	offsetAt = 4
	countAt  = 12
)

// receiveRead decodes Tread by hand: it is too frequent to allocate for.
func (c *conn) receiveRead(r *request, n int) error {
	if n != ioFields {
		return fmt.Errorf("%w: Tread of %d bytes", ninep.ErrMalformed, n+ninep.HeaderSize)
	}
	if err := c.receiveFields(r); err != nil {
		return err
	}
	r.charge(c, c.replyRoom(r.io.count))
	return nil
}

// receiveWrite reads Twrite, with its data into a buffer of its own or a pipe.
func (c *conn) receiveWrite(r *request, n int) error {
	if n < ioFields {
		return fmt.Errorf("%w: Twrite of %d bytes", ninep.ErrMalformed, n+ninep.HeaderSize)
	}
	if err := c.receiveFields(r); err != nil {
		return err
	}
	if int64(r.io.count) != int64(n-ioFields) {
		return fmt.Errorf("%w: Twrite counts %d bytes and has %d", ninep.ErrMalformed, r.io.count, n-ioFields)
	}
	n -= ioFields
	r.charge(c, bufferSize(n))
	if c.pipeable(n) {
		c.inlet.most = ninep.HeaderSize + ioFields
		return c.receivePiped(r, n)
	}
	r.payload = c.server.buffers.get(n)
	_, err := io.ReadFull(c.in, r.payload.bytes[:n])
	return err
}

func (c *conn) receiveFields(r *request) error {
	b := r.bodyRoom[:ioFields]
	if _, err := io.ReadFull(c.in, b); err != nil {
		return err
	}
	r.io = ioArgs{
		fid:    ninep.FID(binary.LittleEndian.Uint32(b)),
		offset: binary.LittleEndian.Uint64(b[offsetAt:]),
		count:  binary.LittleEndian.Uint32(b[countAt:]),
	}
	return nil
}

// replyRoom is the memory that a reply with count bytes of payload takes, no more than a message carries.
func (c *conn) replyRoom(count uint32) int {
	return bufferSize(int(min(count, c.msize-ninep.ReadHeadSize)))
}

// charge takes n bytes of the connection's budget, waiting until there is room, and what every request costs.
func (r *request) charge(c *conn, n int) {
	cost := int64(n)
	if r.cost == 0 {
		cost += requestCost
	}
	if !c.budget.tryTake(cost) {
		c.exchange.send() // what is queued holds some of it
		c.budget.take(cost)
	}
	r.cost += cost
}

// errNoVersion answers requests before the first Tversion.
var errNoVersion error = unix.EPROTO
