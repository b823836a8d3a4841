package server

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// walk binds a fid to what names lead to from another, which stays as it is unless it is the same.
func (c *conn) walk(r *request, m *ninep.Twalk) (ninep.Message, error) {
	from := r.file(0)
	if from == nil || from.xattr != nil {
		return nil, unix.EBADF
	}
	same := m.Fid == m.NewFid
	if same && from.open {
		return nil, unix.EBUSY
	}
	if len(m.Names) == 0 {
		return &ninep.Rwalk{}, c.walkNowhere(r, from, same)
	}
	var w walked
	err := from.attach.user.do(func() error { return c.walkNames(from, m.Names, &w, r.hasty) })
	if err != nil && len(w.qids) == 0 || errors.Is(err, errWouldWait) {
		return nil, err
	}
	if err != nil {
		return &ninep.Rwalk{QIDs: w.qids}, nil
	}
	to := c.newFile(from.attach, w.fd, w.st)
	if same {
		r.bind(0, to)
		from.close()
	} else {
		r.bind(1, to)
	}
	return &ninep.Rwalk{QIDs: w.qids}, nil
}

// walkNowhere makes the new fid one of the same file, not open.
func (c *conn) walkNowhere(r *request, from *file, same bool) error {
	if same {
		return nil
	}
	fd, err := c.server.clone(from)
	if err != nil {
		return err
	}
	r.bind(1, &file{conn: c, attach: from.attach.share(), fd: fd, typ: from.typ, id: from.id})
	return nil
}

// walked is how far a walk came.
type walked struct {
	qids []ninep.QID
	fd   int // of the last file, when all names were walked
	st   *unix.Statx_t
}

// walkNames opens one name after the other. It fails at the first that cannot be, with no descriptor left open;
// hasty it fails at the first that would have to wait.
func (c *conn) walkNames(from *file, names []string, w *walked, hasty bool) error {
	w.qids = make([]ninep.QID, 0, len(names))
	dir, id, typ := from.fd, from.id, from.typ
	for _, name := range names {
		fd, err := -1, error(unix.ENOTDIR)
		if typ == unix.S_IFDIR {
			fd, err = c.server.step(from.attach, dir, id, name, hasty)
		}
		if dir != from.fd {
			unix.Close(dir)
		}
		if err != nil {
			return err
		}
		if w.st, err = stat(fd); err != nil {
			unix.Close(fd)
			return err
		}
		dir, id, typ = fd, idOf(w.st), uint32(w.st.Mode)&unix.S_IFMT
		w.qids = append(w.qids, c.qid(w.st))
	}
	w.fd = dir
	return nil
}

// step opens one name in a directory. ".." of the attach's root is the root itself.
func (s *Server) step(a *attachment, dir int, id fileID, name string, hasty bool) (int, error) {
	if name != ".." {
		if err := checkName(name); err != nil {
			return -1, err
		}
		if hasty {
			return s.openHasty(dir, name)
		}
		return openName(dir, name)
	}
	if id == a.id {
		return unix.FcntlInt(uintptr(a.root), unix.F_DUPFD_CLOEXEC, 0)
	}
	parent, _, err := s.locate(a, dir, id)
	return parent, err
}
