package ninep

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// makeClassic makes what is no regular file by Tcreate on a clone of the directory's fid, which becomes the new file's. All but
// directories are 9P2000.u's.
func (l *link) makeClassic(ctx context.Context, r request) error {
	t, ok := l.dialect.createOf(r.message)
	if !ok {
		return unix.EOPNOTSUPP
	}
	dir := r.fids[0]
	n, err := dir.session.newFid(dir.volume)
	if err != nil {
		return err
	}
	defer n.Drop()
	if err := dir.walkOn(ctx, l, n, nil); err != nil {
		return err
	}
	t.Fid = n.number
	r.fids[0] = n
	var reply Rcreate
	made, _ := r.reply.(*madeReply) // Tlink has none
	return l.as(ctx, r, t, &reply, func() {
		n.setSpecial() // it is not where its place says
		if made != nil {
			made.QID = reply.QID
		}
	})
}

// createOf is the Tcreate for a message that makes a name.
func (d Dialect) createOf(m Message) (t *Tcreate, ok bool) {
	if m, ok := m.(*Tmkdir); ok {
		perm, _ := d.statMode(m.Mode)
		return &Tcreate{Name: m.Name, Perm: DMDir | perm}, true
	}
	if d != DialectU {
		return nil, false
	}
	switch m := m.(type) {
	case *Tsymlink:
		return &Tcreate{Name: m.Name, Perm: DMSymlink | 0o777, Extension: m.Target}, true
	case *Tlink:
		return &Tcreate{Name: m.Name, Perm: DMLink, Extension: strconv.FormatUint(uint64(m.Fid), 10)}, true
	case *Tmknod:
		perm, _ := d.statMode(m.Mode)
		kind, extension := specialOf(m)
		return &Tcreate{Name: m.Name, Perm: kind | perm, Extension: extension}, true
	}
	return nil, false
}

// specialOf is what 9P2000.u calls a special file.
func specialOf(m *Tmknod) (kind StatMode, extension string) {
	switch m.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return DMNamedPipe, ""
	case unix.S_IFSOCK:
		return DMSocket, ""
	case unix.S_IFBLK:
		return DMDevice, fmt.Sprintf("b %d %d", m.Major, m.Minor)
	case unix.S_IFCHR:
		return DMDevice, fmt.Sprintf("c %d %d", m.Major, m.Minor)
	}
	return 0, "" // a regular file
}

// renameClassic gives a file another name in its directory, which is all that Twstat can (stat(5)). By the manual it fails for a
// name that exists; what has that name is then removed first, as rename(2) would do at once.
func (l *link) renameClassic(ctx context.Context, r request, m *Trename) error {
	f, dir := r.fids[0], r.fids[1]
	if !f.session.places.isIn(f.where(), dir.where()) {
		return unix.EXDEV
	}
	s := UntouchedStat()
	s.Name = m.Name
	err := l.as(ctx, r, &Twstat{Fid: m.Fid, Stat: s}, nil, nil)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if err := dir.walkAndRemove(ctx, l, m.Name, f.QID().IsDir()); err != nil {
		return err
	}
	return l.as(ctx, r, &Twstat{Fid: m.Fid, Stat: s}, nil, nil)
}
