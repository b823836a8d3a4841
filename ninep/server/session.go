package server

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// unknownVersion answers a dialect that the server does not speak (version(5)).
const unknownVersion = "unknown"

// version starts the conversation over: what is outstanding is answered first, then every fid is given back. It runs in
// the reader, so that nothing else is read meanwhile.
func (c *conn) version(r *request, m *ninep.Tversion) {
	c.exchange.quiesce()
	c.fids.clear()
	c.agreed = false
	c.speak(ninep.DialectL)
	reply := &ninep.Rversion{Msize: min(m.Msize, c.server.options.MaxMsize), Version: unknownVersion}
	dialect, known := c.server.negotiate(m.Version)
	r.dialect = dialect
	switch {
	case m.Msize < ninep.MinMsize:
		r.fail(unix.EMSGSIZE)
	case !known:
		r.answer(reply, reply.Msize)
	default:
		c.agreed = true
		c.msize = reply.Msize
		c.speak(dialect)
		reply.Version = dialect.String()
		r.answer(reply, c.msize)
	}
	c.complete(r)
}

// attach binds a fid to the tree of that name for a user.
func (c *conn) attach(r *request, m *ninep.Tattach) (ninep.Message, error) {
	if m.Afid != ninep.NoFID {
		return nil, unix.EBADF
	}
	user, err := c.server.creds.identify(m.UID, m.Uname)
	if err != nil {
		return nil, err
	}
	var fd int
	if err := user.do(func() error {
		fd, err = c.server.openTree(m.Aname)
		return err
	}); err != nil {
		return nil, err
	}
	a, st, err := c.server.newAttachment(user, fd)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	r.bind(0, c.newFile(a, fd, st))
	return &ninep.Rattach{QID: c.qid(st)}, nil
}

// newAttachment makes the attachment to the tree that a descriptor holds, which stays the caller's. The first file made
// of it holds it.
func (s *Server) newAttachment(user *identity, fd int) (*attachment, *unix.Statx_t, error) {
	st, err := stat(fd)
	if err != nil {
		return nil, nil, err
	}
	if typ := uint32(st.Mode) & unix.S_IFMT; typ != unix.S_IFDIR && typ != unix.S_IFREG {
		return nil, nil, unix.ENOTDIR
	}
	if !s.fds.take(1) {
		return nil, nil, unix.ENFILE
	}
	root, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		s.fds.give(1)
		return nil, nil, err
	}
	return &attachment{root: root, id: idOf(st), user: user, fds: &s.fds}, st, nil
}

// openTree opens what an aname leads to beneath the root.
func (s *Server) openTree(aname string) (int, error) {
	fd, err := unix.FcntlInt(uintptr(s.root), unix.F_DUPFD_CLOEXEC, 0)
	for name := range strings.SplitSeq(aname, "/") {
		if err != nil {
			return -1, err
		}
		if name == "" {
			continue
		}
		dir := fd
		if err = checkName(name); err == nil {
			fd, err = openName(dir, name)
		}
		unix.Close(dir)
	}
	return fd, err
}
