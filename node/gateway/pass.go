package gateway

import (
	"context"
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/csi-9p/csi-9p/ninep"
)

// serve does what a request asks for, and makes its reply.
func (c *conn) serve(ctx context.Context, r *request) error {
	if m, ok := r.message.(*ninep.Tattach); ok {
		return c.attach(ctx, r, m)
	}
	t, err := r.tree()
	if err != nil {
		return err
	}
	last := r.holds[len(r.holds)-1]
	switch {
	case last.as == bind:
		return c.passBinding(ctx, r, t)
	case r.kind == ninep.TypeTclunk:
		return c.clunk(ctx, r)
	case r.kind == ninep.TypeTremove:
		return c.passRemove(ctx, r, t)
	}
	return c.pass(ctx, r, t)
}

// attach opens a share and attaches its tree.
func (c *conn) attach(ctx context.Context, r *request, m *ninep.Tattach) error {
	if m.Afid != ninep.NoFID {
		return unix.EBADF
	}
	t, err := c.openTree(ctx, m.Aname)
	if err != nil {
		return attachError(ctx, m.Aname, err)
	}
	f := r.holds[0].fid
	if err := c.bind(f, t); err != nil {
		t.share.Release()
		return err
	}
	c.watching.Go(func() { c.watch(t) })
	message, err := ninep.Append(nil, r.tag, &ninep.Tattach{Fid: m.Fid, Afid: ninep.NoFID, Uname: m.Uname, Aname: t.share.Aname, UID: m.UID})
	r.body = message[ninep.HeaderSize:]
	if err == nil {
		err = c.pass(ctx, r, t)
	}
	c.settle(f, err, err == nil)
	return err
}

// openTree opens a share, and waits until its session has a connection.
func (c *conn) openTree(ctx context.Context, name string) (*tree, error) {
	share, err := c.open(ctx, name)
	if err != nil {
		return nil, err
	}
	relay, err := share.Session.Relay(ctx, share.Flow)
	if err != nil {
		share.Release()
		return nil, err
	}
	return &tree{share: share, relay: relay, gone: make(chan struct{})}, nil
}

// attachError tells people why a share was not opened, and returns what the client is told.
func attachError(ctx context.Context, name string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	klog.FromContext(ctx).Error(err, "Cannot open a share for a 9P client", "share", name)
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return unix.EIO
}

// watch ends the client's connection when that of a tree is lost.
func (c *conn) watch(t *tree) {
	select {
	case <-t.relay.Lost():
		c.cut()
	case <-t.gone:
	}
}

// passBinding passes on a message that gives a new fid its file.
func (c *conn) passBinding(ctx context.Context, r *request, t *tree) error {
	f := r.holds[1].fid
	if err := c.bind(f, t); err != nil {
		return err
	}
	err := c.pass(ctx, r, t)
	arrived := err == nil
	if walk, ok := r.message.(*ninep.Twalk); ok && arrived {
		// Fewer files than names: newfid is not bound (walk(5)).
		arrived = len(r.reply) > ninep.HeaderSize+1 && int(binary.LittleEndian.Uint16(r.reply[ninep.HeaderSize:])) == len(walk.Names)
	}
	c.settle(f, err, arrived)
	return err
}

// settle keeps a fid that the server has bound, and gives another back.
func (c *conn) settle(f *fid, err error, bound bool) {
	if bound {
		return
	}
	if answered(err) {
		f.to.Unbound()
	}
	c.unbind(f)
}

// answered tells that the outcome is the server's answer.
func answered(err error) bool {
	var errno unix.Errno
	return err == nil || errors.As(err, &errno)
}

// clunk gives a fid back, whatever the server answers. It does not heed a flush: what is half given back is of use to nobody.
func (c *conn) clunk(ctx context.Context, r *request) error {
	f := r.holds[0].fid
	err := f.to.Clunk(context.WithoutCancel(ctx))
	c.unbind(f)
	if err == nil {
		r.answer(&ninep.Rclunk{})
	}
	return err
}

// passRemove passes on Tremove, which ends its fid whatever the server answers, and heeds no flush either.
func (c *conn) passRemove(ctx context.Context, r *request, t *tree) error {
	f := r.holds[0].fid
	err := c.pass(context.WithoutCancel(ctx), r, t)
	if answered(err) {
		f.to.Unbound()
	}
	c.unbind(f)
	return err
}

// Places in the bodies of Tread, Treaddir and Twrite: fid[4] offset[8] count[4].
const (
	countAt  = 4 + 8
	ioFields = countAt + 4
)

// pass passes a request on to the server, and makes its reply the client's.
func (c *conn) pass(ctx context.Context, r *request, t *tree) error {
	m := ninep.RelayMessage{Type: r.kind, Body: r.body}
	for i, at := range fidsAt(r.message) {
		m.Fids[i] = r.holds[min(i, len(r.holds)-1)].fid.to
		binary.LittleEndian.PutUint32(r.body[at:], uint32(m.Fids[i].Number()))
	}
	most := t.relay.Msize() - ninep.IOHeaderSize
	switch message := r.message.(type) {
	case *ninep.Tread:
		m.In = r.room(min(message.Count, most, c.msize-ninep.ReadHeadSize))
	case *ninep.Treaddir:
		m.In = r.room(min(message.Count, most, c.msize-ninep.ReadHeadSize))
	case *ninep.Twrite: // what the server has no room for is not written, which Rwrite tells
		m.Body, m.Out = r.body[:ioFields], message.Data[:min(len(message.Data), int(most))]
		binary.LittleEndian.PutUint32(m.Body[countAt:], uint32(len(m.Out)))
	}
	if uint32(ninep.HeaderSize+len(m.Body)+len(m.Out)) > t.relay.Msize() {
		return unix.EMSGSIZE
	}
	body, n, err := t.relay.Pass(ctx, m)
	if err != nil {
		return err
	}
	if m.In != nil {
		r.reply = r.reply[:ninep.ReadHeadSize+n]
		binary.LittleEndian.PutUint32(r.reply[ninep.HeaderSize:], uint32(n))
	}
	if r.kind == ninep.TypeTlopen || r.kind == ninep.TypeTlcreate {
		c.boundUnit(body)
	}
	r.relay(body, c.msize)
	return nil
}

// boundUnit lowers the iounit of an Rlopen or Rlcreate, qid[13] iounit[4], to what the client's messages carry.
func (c *conn) boundUnit(body []byte) {
	const unitAt = 13
	if len(body) != unitAt+4 {
		return // the client sees that it is malformed
	}
	unit := binary.LittleEndian.Uint32(body[unitAt:])
	binary.LittleEndian.PutUint32(body[unitAt:], min(unit, c.msize-ninep.IOHeaderSize))
}

// room makes room for a reply with count bytes of payload, and asks the server for no more.
func (r *request) room(count uint32) (payload []byte) {
	r.reply = make([]byte, ninep.ReadHeadSize+count)
	binary.LittleEndian.PutUint32(r.body[countAt:], count)
	return r.reply[ninep.ReadHeadSize:]
}
