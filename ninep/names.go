package ninep

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// What follows makes names, and must not be done twice. When the connection is lost under such a message nobody knows
// whether it was done; it is sent again, and an EEXIST is then taken for the work of the first. That is wrong
// only if another client made the same name in between, and right whenever a lock file or a directory was
// made by the call that asks.

// Mkdir makes a directory in this one and returns what it is.
func (f *Fid) Mkdir(ctx context.Context, name string, mode, gid uint32) (QID, error) {
	return f.make(ctx, "mkdir", name, QTDir, &Tmkdir{Fid: f.number, Name: name, Mode: mode, GID: gid})
}

// Symlink makes a symbolic link in this directory. The target is not looked at.
func (f *Fid) Symlink(ctx context.Context, name, target string, gid uint32) (QID, error) {
	return f.make(ctx, "symlink", name, QTSymlink, &Tsymlink{Fid: f.number, Name: name, Target: target, GID: gid})
}

// Mknod makes a special file in this directory; mode has its type beside the permissions.
func (f *Fid) Mknod(ctx context.Context, name string, mode, major, minor, gid uint32) (QID, error) {
	return f.make(ctx, "mknod", name, QTFile,
		&Tmknod{Fid: f.number, Name: name, Mode: mode, Major: major, Minor: minor, GID: gid})
}

// make sends a message that makes a name of this kind, whose answer is a qid.
func (f *Fid) make(ctx context.Context, op, name string, kind QIDType, m Message) (QID, error) {
	if err := checkName(name); err != nil {
		return QID{}, f.fail(op, err, name)
	}
	var reply madeReply
	err := f.session.do(ctx, func(l *link, again bool) error {
		err := l.roundTrip(ctx, request{message: m, reply: &reply, fids: [2]*Fid{f}})
		if again && errors.Is(err, unix.EEXIST) {
			reply.QID, err = f.made(ctx, l, name, kind)
		}
		return err
	})
	if err != nil {
		return QID{}, f.fail(op, err, name)
	}
	return reply.QID, nil
}

// made returns what is under the name if it is of this kind, else EEXIST.
func (f *Fid) made(ctx context.Context, l *link, name string, kind QIDType) (QID, error) {
	n, err := f.session.newFid(f.volume)
	if err != nil {
		return QID{}, err
	}
	defer n.Drop()
	if err := f.walkOn(ctx, l, n, []string{name}); isLost(err) {
		return QID{}, err
	}
	const kinds = QTDir | QTSymlink
	if err != nil || n.QID().Type&kinds != kind {
		return QID{}, unix.EEXIST
	}
	return n.QID(), nil
}

// madeReply is Rmkdir, Rsymlink and Rmknod: they are alike.
type madeReply struct{ Rmkdir }

// Link makes the name in this directory another name of the target.
func (f *Fid) Link(ctx context.Context, target *Fid, name string) error {
	if err := checkName(name); err != nil {
		return f.fail("link", err, name)
	}
	m := &Tlink{Dir: f.number, Fid: target.number, Name: name}
	err := f.session.do(ctx, func(l *link, again bool) error {
		err := l.roundTrip(ctx, request{message: m, fids: [2]*Fid{f, target}})
		if again && errors.Is(err, unix.EEXIST) {
			var qid QID
			qid, err = f.made(ctx, l, name, target.QID().Type&(QTDir|QTSymlink))
			if err == nil && !qid.SameFile(target.QID()) {
				err = unix.EEXIST
			}
		}
		return err
	})
	return f.fail("link", err, name)
}
