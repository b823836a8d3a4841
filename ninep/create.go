package ninep

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

// Create makes a regular file in this directory and opens it, and the fid becomes the file's: give it a clone from
// Walk. flags are the host's O_*; O_CREAT goes without saying, and O_EXCL must be among them for the name to be new.
func (f *Fid) Create(ctx context.Context, name string, flags, mode, gid uint32) error {
	c, err := f.newCreation(name, flags, mode, gid)
	if err == nil {
		err = f.session.do(ctx, func(l *link, again bool) error { return c.create(ctx, l, again) })
	}
	return f.fail("lcreate", err, name)
}

// NewFile is a file that was just made.
type NewFile struct {
	Open *Fid // of Create
	// Path is another fid of it that is not open, where a server gave one along with it; else nil.
	Path *Fid
	Attr Attr // the basic attributes
}

// CreateNew makes a regular file in this directory as Walk without names, Create of the new fid and Getattr do. O_EXCL goes
// without saying.
func (f *Fid) CreateNew(ctx context.Context, name string, flags, mode, gid uint32) (NewFile, error) {
	n, err := f.session.newFid(f.volume)
	if err != nil {
		return NewFile{}, f.fail("lcreate", err, name)
	}
	c, err := n.newCreation(name, flags|unix.O_EXCL, mode, gid)
	if err == nil {
		c.dir = f
		err = f.session.do(ctx, func(l *link, again bool) error { return c.createFrom(ctx, l, again) })
	}
	if err != nil {
		n.Drop()
		if c != nil && c.path != nil {
			c.path.Drop()
		}
		return NewFile{}, f.fail("lcreate", err, name)
	}
	return NewFile{Open: n, Path: c.path, Attr: c.attr.Attr}, nil
}

// creation is a file on its way, by a fid that is its directory's until then.
type creation struct {
	fid     *Fid
	dir     *Fid // where the fid has to go first; nil: it is there
	message Tlcreate
	found   bool // an earlier try has made it
	path    *Fid
	attr    attrReply

	// mu is for what replies do: those to messages sent together may be told of side by side and in any order, also where the
	// server has made them in that of the messages.
	mu     sync.Mutex
	walked bool // the fid is bound: should the connection be lost, the next one binds it again
	early  *Fid // is of what the fid is of, and came before that was known
}

func (f *Fid) newCreation(name string, flags, mode, gid uint32) (*creation, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if f.isOpen() {
		return nil, unix.EINVAL
	}
	return &creation{
		fid:     f,
		message: Tlcreate{Fid: f.number, Name: name, Flags: wireFlags(flags) | OpenCreate, Mode: mode, GID: gid},
	}, nil
}

// createFrom makes the file in the directory, or what is left to do of that. Where the server keeps messages about a fid in order it
// is one round trip. Should Tlcreate fail, the messages behind it are about the directory and change nothing.
func (c *creation) createFrom(ctx context.Context, l *link, again bool) error {
	switch {
	case c.walked:
	case l.dialect == DialectL && c.dir.session.features.inOrder.load() == Supported:
		if done, err := c.together(ctx, l, again); done || err != nil {
			return err
		}
	default:
		w := newWalk(c.dir, c.fid, nil)
		if err := w.send(ctx, l, func() { c.arrived(l) }); err != nil {
			return err
		}
	}
	if !c.fid.isOpen() {
		if err := c.create(ctx, l, again); err != nil {
			return err
		}
	}
	return l.roundTrip(ctx, c.fid.getattr(&c.attr, AttrBasic))
}

// arrived is told that the fid is the directory's, or was.
func (c *creation) arrived(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.walked = true; !c.fid.isOpen() {
		c.dir.arrive(l, c.fid, nil, QID{})
	}
}

// created is told that the fid is the file's, and open.
func (c *creation) created(l *link, reply *Rlcreate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, from := c.fid, c.fid
	if f.where() == nil {
		from = c.dir // the walk from there has not been told of, and keeps it
	}
	c.walked = true // also when that reply never comes
	from.arrive(l, f, []string{c.message.Name}, reply.QID)
	f.opened(reply.QID, reply.IOUnit, c.message.Flags)
	if c.early != nil {
		f.arrive(l, c.early, nil, QID{})
	}
}

// cloned is told that the server knows a fid of what it had made of the creation's.
func (c *creation) cloned(l *link, path *Fid) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fid.isOpen() {
		c.fid.arrive(l, path, nil, QID{})
		return
	}
	path.maybeBind(l)
	c.early = path
}

// together sends all messages at once. Neither done nor an error: the file is there, of an earlier try.
func (c *creation) together(ctx context.Context, l *link, again bool) (done bool, err error) {
	f := c.fid
	c.mu.Lock()
	c.early = nil // that was another link's
	c.mu.Unlock()
	w := newWalk(c.dir, f, nil)
	requests := []request{w.message(l, func() { c.arrived(l) }), c.request(l), f.getattr(&c.attr, AttrBasic)}
	path, err := f.session.newFid(f.volume)
	if err == nil { // else there is none to spare
		requests = append(requests, newWalk(f, path, nil).message(l, func() { c.cloned(l, path) }))
	}
	errs := l.exchangeAll(ctx, requests)
	made := errs[0] == nil && errs[1] == nil
	if made && path != nil && errs[3] == nil {
		c.path = path
	} else if path != nil {
		path.Drop()
	}
	switch {
	case made:
		return true, errs[2]
	case errs[0] != nil:
		return false, errs[0]
	}
	return false, c.unlessFound(errs[1], again)
}

// create sends Tlcreate.
func (c *creation) create(ctx context.Context, l *link, again bool) error {
	if !c.found {
		err := l.roundTrip(ctx, c.request(l))
		if err == nil {
			return nil
		}
		if err = c.unlessFound(err, again); err != nil {
			return err
		}
	}
	return c.adopt(ctx, l)
}

// unlessFound is the error of a Tlcreate, unless it says that the file is there by the one whose connection was lost, which is
// taken to have made it; and Tcreate refuses any name that exists.
func (c *creation) unlessFound(err error, again bool) error {
	if !errors.Is(err, unix.EEXIST) || !again && c.message.Flags&OpenExcl != 0 {
		return err
	}
	return nil
}

// adopt makes the fid that of the file that is there, and opens it. Once it is the file's it stays so, should the connection be lost.
func (c *creation) adopt(ctx context.Context, l *link) error {
	if !c.found {
		if err := c.fid.walkOn(ctx, l, c.fid, []string{c.message.Name}); err != nil {
			return err
		}
		c.found = true
	}
	return c.fid.openOn(ctx, l, c.message.Flags&^(OpenCreate|OpenExcl))
}

func (c *creation) request(l *link) request {
	reply := new(Rlcreate)
	return request{
		message: &c.message, reply: reply, fids: [2]*Fid{c.fid},
		settle: func(err error) {
			if err == nil {
				c.created(l, reply)
			}
		},
	}
}
