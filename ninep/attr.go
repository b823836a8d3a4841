package ninep

import (
	"cmp"
	"context"
	"fmt"

	"golang.org/x/sys/unix"
)

// Getattr reads the attributes that the mask names. Those that the server has are in the answer's Valid, others are
// zero: btime, gen and data version are rare.
func (f *Fid) Getattr(ctx context.Context, mask AttrMask) (Attr, error) {
	var a Attr
	err := f.session.do(ctx, func(l *link, _ bool) error {
		var err error
		a, err = f.getattrOn(ctx, l, mask)
		return err
	})
	return a, f.fail("getattr", err)
}

func (f *Fid) getattrOn(ctx context.Context, l *link, mask AttrMask) (Attr, error) {
	var reply attrReply
	if err := l.roundTrip(ctx, f.getattr(&reply, mask)); err != nil {
		return Attr{}, err
	}
	return reply.Attr, nil
}

// getattr is the request for a fid's attributes.
func (f *Fid) getattr(reply *attrReply, mask AttrMask) request {
	return request{message: &Tgetattr{Fid: f.number, Mask: mask}, reply: reply, fids: [2]*Fid{f}, settle: func(err error) {
		if err == nil && mask&AttrDataVersion == 0 && reply.Valid&AttrDataVersion != 0 { // some answer what they are asked for
			f.session.features.inOrder.learn(nil)
		}
	}}
}

// attrReply is an Rgetattr that contradicts neither itself nor what it says of its fields: those that are not valid
// are cleared, for no one to use what the server left there.
type attrReply struct{ Rgetattr }

func (m *attrReply) fields(c *codec) {
	m.Rgetattr.fields(c)
	if c.err != nil {
		return
	}
	if m.Valid&AttrMode != 0 && m.Mode&unix.S_IFMT != 0 && m.QID.IsDir() != (m.Mode&unix.S_IFMT == unix.S_IFDIR) {
		c.fail("mode %o of a file with qid %v", m.Mode, m.QID)
		return
	}
	m.clearInvalid()
}

func (a *Attr) clearInvalid() {
	keep := func(bit AttrMask, v *uint64) {
		if a.Valid&bit == 0 {
			*v = 0
		}
	}
	keep32 := func(bit AttrMask, v *uint32) {
		if a.Valid&bit == 0 {
			*v = 0
		}
	}
	keepTime := func(bit AttrMask, t *Timespec) {
		keep(bit, &t.Sec)
		keep(bit, &t.Nsec)
	}
	keep32(AttrMode, &a.Mode)
	keep32(AttrUID, &a.UID)
	keep32(AttrGID, &a.GID)
	keep(AttrNlink, &a.Nlink)
	keep(AttrRdev, &a.Rdev)
	keep(AttrSize, &a.Size)
	keep(AttrBlocks, &a.Blocks)
	keep(AttrGen, &a.Gen)
	keep(AttrDataVersion, &a.DataVersion)
	keepTime(AttrAtime, &a.Atime)
	keepTime(AttrMtime, &a.Mtime)
	keepTime(AttrCtime, &a.Ctime)
	keepTime(AttrBtime, &a.Btime)
}

// Setattr changes the attributes that a.Valid names. SetAtime without SetAtimeGiven, and SetMtime without SetMtimeGiven,
// set the server's now.
func (f *Fid) Setattr(ctx context.Context, a SetAttr) error {
	return f.simple(ctx, "setattr", &Tsetattr{Fid: f.number, SetAttr: a})
}

// Change is Setattr and, after it, Getattr of the basic attributes: one round trip where the server keeps messages about a fid in
// order.
func (f *Fid) Change(ctx context.Context, a SetAttr) (Attr, error) {
	var reply attrReply
	set := request{message: &Tsetattr{Fid: f.number, SetAttr: a}, fids: [2]*Fid{f}}
	err := f.session.do(ctx, func(l *link, _ bool) error {
		get := f.getattr(&reply, AttrBasic)
		if l.dialect == DialectL && f.session.features.inOrder.load() == Supported {
			errs := l.exchangeAll(ctx, []request{set, get})
			return cmp.Or(errs[0], errs[1])
		}
		if err := l.roundTrip(ctx, set); err != nil {
			return err
		}
		return l.roundTrip(ctx, get)
	})
	if err != nil {
		return Attr{}, f.fail("setattr", err)
	}
	return reply.Attr, nil
}

// Statfs reads the figures of the file system that the file is on. They are the whole share's.
func (f *Fid) Statfs(ctx context.Context) (Statfs, error) {
	var reply Rstatfs
	err := f.call(ctx, "statfs", request{
		message: &Tstatfs{Fid: f.number}, reply: &reply, fids: [2]*Fid{f},
		settle: f.session.features.statfs.learn,
	})
	if err != nil {
		return Statfs{}, err
	}
	return reply.Statfs, nil
}

// Fsync makes the file durable; dataOnly leaves out what is not needed to read the data again (fdatasync).
func (f *Fid) Fsync(ctx context.Context, dataOnly bool) error {
	t := &Tfsync{Fid: f.number}
	if dataOnly {
		t.DataOnly = 1
	}
	return f.simple(ctx, "fsync", t)
}

// Readlink reads the target of a symbolic link.
func (f *Fid) Readlink(ctx context.Context) (string, error) {
	var reply Rreadlink
	err := f.call(ctx, "readlink", request{message: &Treadlink{Fid: f.number}, reply: &reply, fids: [2]*Fid{f}})
	if err != nil {
		return "", err
	}
	if reply.Target == "" {
		return "", f.fail("readlink", fmt.Errorf("%w: an empty target", ErrMalformed))
	}
	return reply.Target, nil
}

// call sends a request that may be repeated as it is.
func (f *Fid) call(ctx context.Context, op string, r request) error {
	err := f.session.do(ctx, func(l *link, _ bool) error { return l.roundTrip(ctx, r) })
	return f.fail(op, err)
}

// simple sends a message that names this fid only, may be repeated as it is and has an empty answer.
func (f *Fid) simple(ctx context.Context, op string, m Message) error {
	return f.call(ctx, op, request{message: m, fids: [2]*Fid{f}})
}
