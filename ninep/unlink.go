package ninep

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// Unlink removes a name of this directory; dir says that it is a directory, and it fails with EISDIR or ENOTDIR if
// that is wrong. It is Tunlinkat, or on a server without it Twalk and Tremove.
//
// An unlink whose connection was lost is sent again, and an ENOENT is then taken for the first one's work.
func (f *Fid) Unlink(ctx context.Context, name string, dir bool) error {
	if err := checkName(name); err != nil {
		return f.fail("unlink", err, name)
	}
	err := f.session.do(ctx, func(l *link, again bool) error {
		err := f.unlinkOn(ctx, l, name, dir)
		if again && errors.Is(err, unix.ENOENT) {
			f.session.places.remove(f.where(), name)
			return nil
		}
		return err
	})
	return f.fail("unlink", err, name)
}

func (f *Fid) unlinkOn(ctx context.Context, l *link, name string, dir bool) error {
	unlinkat := &f.session.features.unlinkat
	if unlinkat.load() != Unsupported {
		t := &Tunlinkat{Dir: f.number, Name: name}
		if dir {
			t.Flags = UnlinkDir
		}
		err := l.roundTrip(ctx, request{message: t, fids: [2]*Fid{f}, settle: func(err error) {
			if err == nil {
				f.session.places.remove(f.where(), name)
			}
		}})
		unlinkat.learn(err)
		if !isUnsupported(err) {
			return err
		}
	}
	return f.walkAndRemove(ctx, l, name, dir)
}

// walkAndRemove is Unlink for servers that have Tremove only. That removes whatever is there, so its type is looked at
// first; between the two another client can put something else in its place.
func (f *Fid) walkAndRemove(ctx context.Context, l *link, name string, dir bool) error {
	n, err := f.session.newFid(f.volume)
	if err != nil {
		return err
	}
	defer n.Drop()
	if err := f.walkOn(ctx, l, n, []string{name}); err != nil {
		return err
	}
	switch isDir := n.QID().IsDir(); {
	case dir && !isDir:
		return unix.ENOTDIR
	case !dir && isDir:
		return unix.EISDIR
	}
	return n.removeOn(ctx, l)
}
