package server

import (
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// claim takes the request's places at the fids that it names, in the order of r.holds that the handlers expect.
func (c *conn) claim(r *request) error {
	switch m := r.msg.(type) {
	case nil:
		return c.hold(r, r.io.fid, use)
	case *ninep.Tattach:
		return c.hold(r, m.Fid, bind)
	case *ninep.Twalk:
		return c.claimWalk(r, m)
	case *ninep.Txattrwalk:
		return c.holdBoth(r, m.Fid, m.NewFid, bind)
	case *ninep.Tlopen:
		return c.hold(r, m.Fid, alter)
	case *ninep.Tlcreate:
		return c.hold(r, m.Fid, alter)
	case *ninep.Txattrcreate:
		return c.hold(r, m.Fid, alter)
	case *ninep.Tclunk:
		return c.hold(r, m.Fid, end)
	case *ninep.Tremove:
		return c.hold(r, m.Fid, end)
	case *ninep.Trename:
		return c.holdBoth(r, m.Fid, m.Dir, use)
	case *ninep.Trenameat:
		return c.holdBoth(r, m.OldDir, m.NewDir, use)
	case *ninep.Tlink:
		return c.holdBoth(r, m.Dir, m.Fid, use)
	}
	return c.claimOne(r)
}

// claimOne takes the place of a request that uses one fid as it is.
func (c *conn) claimOne(r *request) error {
	switch m := r.msg.(type) {
	case *ninep.Tstatfs:
		return c.hold(r, m.Fid, use)
	case *ninep.Tsymlink:
		return c.hold(r, m.Fid, use)
	case *ninep.Tmknod:
		return c.hold(r, m.Fid, use)
	case *ninep.Treadlink:
		return c.hold(r, m.Fid, use)
	case *ninep.Tgetattr:
		return c.hold(r, m.Fid, use)
	case *ninep.Tsetattr:
		return c.hold(r, m.Fid, alter) // what is asked after it is about what it made of the file
	case *ninep.Treaddir:
		return c.hold(r, m.Fid, use)
	case *ninep.Tfsync:
		return c.hold(r, m.Fid, use)
	case *ninep.Tlock:
		return c.hold(r, m.Fid, use)
	case *ninep.Tgetlock:
		return c.hold(r, m.Fid, use)
	case *ninep.Tmkdir:
		return c.hold(r, m.Fid, use)
	case *ninep.Tunlinkat:
		return c.hold(r, m.Dir, use)
	}
	return c.claimClassic(r)
}

func (c *conn) claimWalk(r *request, m *ninep.Twalk) error {
	if m.Fid == m.NewFid {
		return c.hold(r, m.Fid, alter)
	}
	return c.holdBoth(r, m.Fid, m.NewFid, bind)
}

// holdBoth takes places at a fid that is used and at another in some role.
func (c *conn) holdBoth(r *request, used, other ninep.FID, role role) error {
	if err := c.hold(r, used, use); err != nil {
		return err
	}
	return c.hold(r, other, role)
}

func (c *conn) hold(r *request, num ninep.FID, role role) error {
	var f *fid
	if role == bind {
		var err error
		if f, err = c.fids.reserve(num); err != nil {
			return err
		}
	} else if f = c.fids.get(num); f == nil {
		return unix.EBADF
	}
	if role == end {
		c.fids.remove(f)
	}
	r.holds[r.held] = hold{fid: f, role: role, ready: f.gate.Line(role != use)}
	r.held++
	return nil
}

// leave gives the request's places back.
func (c *conn) leave(r *request) {
	for _, h := range r.holds[:r.held] {
		switch {
		case h.role == end:
			c.fids.release(h.fid)
		case h.role == bind && h.fid.file == nil:
			c.fids.remove(h.fid)
			c.fids.release(h.fid)
		}
		h.fid.gate.Leave()
	}
	r.held = 0
}
