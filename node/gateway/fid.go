package gateway

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/ninep/gate"
)

// fid is one number that a client uses for a file. What it stands for may be used inside the gate only.
type fid struct {
	gate gate.Gate
	to   *ninep.RelayFid // nil while it is not bound, and after it was given back
	tree *tree
}

// tree is what one Tattach has attached. It is given back with the last of its fids.
type tree struct {
	share *Share
	relay *ninep.Relay
	fids  int           // guarded by conn.mu
	gone  chan struct{} // closed with the last
}

// hold is a request's place at a fid.
type hold struct {
	num   ninep.FID
	fid   *fid
	as    role
	ready <-chan struct{} // nil: it is in
}

// claim takes the request's places, in the order in which requests arrive.
func (c *conn) claim(r *request) error {
	places, as := fidsAt(r.message), roleOf(r.message)
	if as == alter {
		places = places[:1] // a walk onto itself has two, of the same fid
	}
	last := len(places) - 1
	for _, at := range places[:last] {
		if err := c.hold(r, at, use); err != nil {
			return err
		}
	}
	return c.hold(r, places[last], as)
}

// hold takes a place at the fid whose number is at that byte of the body.
func (c *conn) hold(r *request, at int, as role) error {
	num := ninep.FID(binary.LittleEndian.Uint32(r.body[at:]))
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.fids[num]
	switch {
	case f == nil && as != bind, num == ninep.NoFID:
		return unix.EBADF
	case f != nil && as == bind:
		return unix.EEXIST
	case as == bind && len(c.fids) == maxFids:
		return unix.EMFILE
	case as == bind:
		f = new(fid)
		c.fids[num] = f
	case as == end:
		delete(c.fids, num)
	}
	r.holds = append(r.holds, hold{num: num, fid: f, as: as, ready: f.gate.Line(as != use)})
	return nil
}

// leave gives the request's places back.
func (c *conn) leave(r *request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range r.holds {
		if h.as == bind && h.fid.to == nil && c.fids[h.num] == h.fid {
			delete(c.fids, h.num)
		}
		h.fid.gate.Leave()
	}
}

// tree returns the one that the request's bound fids are of: that of any, where one session has them all.
func (r *request) tree() (t *tree, err error) {
	for _, h := range r.holds {
		switch {
		case h.as == bind:
		case h.fid.to == nil:
			return nil, unix.EBADF
		case t == nil:
			t = h.fid.tree
		case t.share.Session != h.fid.tree.share.Session:
			return nil, unix.EXDEV
		}
	}
	return t, nil
}

// bind takes a number for a fid of the tree, which the caller is alone with.
func (c *conn) bind(f *fid, t *tree) (err error) {
	if f.to, err = t.relay.NewFid(); err != nil {
		return err
	}
	f.tree = t
	c.mu.Lock()
	defer c.mu.Unlock()
	t.fids++
	return nil
}

// unbind gives back what a fid stands for that the caller is alone with.
func (c *conn) unbind(f *fid) {
	f.to.Drop()
	t := f.tree
	f.to, f.tree = nil, nil
	c.mu.Lock()
	t.fids--
	last := t.fids == 0
	c.mu.Unlock()
	if last {
		close(t.gone)
		t.share.Release()
	}
}

// clear gives all fids back. No request is being worked on.
func (c *conn) clear() {
	c.mu.Lock()
	fids := c.fids
	c.fids = map[ninep.FID]*fid{}
	c.mu.Unlock()
	for _, f := range fids {
		c.unbind(f)
	}
}
