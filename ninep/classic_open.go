package ninep

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// openMode is what flags of Tlopen are in Topen. What is not among them is this machine's business, or none of the protocol's.
func (d Dialect) openMode(flags uint32) uint8 {
	mode := uint8(flags & OpenAccess)
	if flags&OpenTrunc != 0 {
		mode |= ClassicTrunc
	}
	if flags&OpenAppend != 0 && d == DialectU {
		mode |= ClassicAppend
	}
	return mode
}

func (l *link) openClassic(ctx context.Context, r request, m *Tlopen) error {
	f := r.fids[0]
	if m.Flags&OpenDirectory != 0 && !f.QID().IsDir() {
		return unix.ENOTDIR
	}
	var reply Ropen
	return l.as(ctx, r, &Topen{Fid: m.Fid, Mode: l.dialect.openMode(m.Flags)}, &reply, func() {
		*r.reply.(*Rlopen) = Rlopen(reply)
	})
}

// createClassic makes and opens a file. By the manual Tcreate fails for a name that exists; QEMU opens what is there, so that
// whoever needs a name of his own has it looked for before, between which two another client can make it.
func (l *link) createClassic(ctx context.Context, r request, m *Tlcreate) error {
	f := r.fids[0]
	if m.Flags&OpenExcl != 0 {
		if err := f.vacant(ctx, l, m.Name); err != nil {
			return err
		}
	}
	var reply Rcreate
	perm, _ := l.dialect.statMode(m.Mode)
	return l.as(ctx, r, &Tcreate{Fid: m.Fid, Name: m.Name, Perm: perm, Mode: l.dialect.openMode(m.Flags)}, &reply, func() {
		*r.reply.(*Rlcreate) = Rlcreate(reply)
	})
}

// vacant returns EEXIST if there is something of this name in the directory.
func (f *Fid) vacant(ctx context.Context, l *link, name string) error {
	n, err := f.session.newFid(f.volume)
	if err != nil {
		return err
	}
	defer n.Drop()
	err = f.walkOn(ctx, l, n, []string{name})
	switch {
	case err == nil:
		return unix.EEXIST
	case errors.Is(err, unix.ENOENT):
		return nil
	}
	return err
}
