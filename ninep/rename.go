package ninep

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// Rename moves oldName of this directory to newName of newDir, over what is there as rename(2) does. It is Trenameat,
// or on a server without it Twalk and Trename.
//
// A rename whose connection was lost is sent again, and an ENOENT is then taken for the first one's work if the new
// name leads to a file.
func (f *Fid) Rename(ctx context.Context, oldName string, newDir *Fid, newName string) error {
	for _, name := range []string{oldName, newName} {
		if err := checkName(name); err != nil {
			return f.fail("rename to "+newName, err, oldName)
		}
	}
	from, to := f.where(), newDir.where()
	defer f.session.places.moving(from, oldName, to, newName)()
	settle := func(err error) {
		if err == nil {
			f.session.places.move(from, oldName, to, newName)
		}
	}
	err := f.session.do(ctx, func(l *link, again bool) error {
		err := f.renameOn(ctx, l, settle, oldName, newDir, newName)
		if again && errors.Is(err, unix.ENOENT) && newDir.leadsOn(ctx, l, newName) {
			settle(nil)
			return nil
		}
		return err
	})
	return f.fail("rename to "+newName, err, oldName)
}

func (f *Fid) renameOn(ctx context.Context, l *link, settle func(error), oldName string, newDir *Fid, newName string) error {
	renameat := &f.session.features.renameat
	if renameat.load() != Unsupported {
		err := l.roundTrip(ctx, request{
			message: &Trenameat{OldDir: f.number, OldName: oldName, NewDir: newDir.number, NewName: newName},
			fids:    [2]*Fid{f, newDir}, settle: settle,
		})
		renameat.learn(err)
		if !isUnsupported(err) {
			return err
		}
	}
	n, err := f.session.newFid(f.volume)
	if err != nil {
		return err
	}
	defer n.Drop()
	if err := f.walkOn(ctx, l, n, []string{oldName}); err != nil {
		return err
	}
	return l.roundTrip(ctx, request{
		message: &Trename{Fid: n.number, Dir: newDir.number, Name: newName},
		fids:    [2]*Fid{n, newDir}, settle: settle,
	})
}

// leadsOn reports whether a name of this directory leads to a file.
func (f *Fid) leadsOn(ctx context.Context, l *link, name string) bool {
	n, err := f.session.newFid(f.volume)
	if err != nil {
		return false
	}
	defer n.Drop()
	return f.walkOn(ctx, l, n, []string{name}) == nil
}

// where is the fid's place.
func (f *Fid) where() *place {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.place
}
