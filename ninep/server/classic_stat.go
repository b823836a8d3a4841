package server

import (
	"math"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// stat answers Tstat.
func (c *conn) stat(r *request) (ninep.Message, error) {
	f := r.file(0)
	if f == nil {
		return nil, unix.EBADF
	}
	d, _, err := c.describe(f)
	return &ninep.Rstat{Stat: d}, err
}

// describe tells of a fid's file, for the client and for the host.
func (c *conn) describe(f *file) (ninep.Stat, *unix.Statx_t, error) {
	st, err := stat(f.fd)
	if err != nil {
		return ninep.Stat{}, nil, err
	}
	name, err := f.name(st)
	if err != nil {
		return ninep.Stat{}, nil, err
	}
	d := c.newStat(st, name)
	return d, st, c.form.describe(&d, st, f.fd, "")
}

// newStat is a file's description as far as the two dialects agree.
func (c *conn) newStat(st *unix.Statx_t, name string) ninep.Stat {
	d := ninep.Stat{
		QID:   c.qid(st),
		Mode:  c.form.mode(uint32(st.Mode)),
		Atime: seconds(st.Atime),
		Mtime: seconds(st.Mtime),
		Name:  name,
		UID:   c.server.names.user(st.Uid),
		GID:   c.server.names.group(st.Gid),
		NUID:  st.Uid,
		NGID:  st.Gid,
		NMUID: ninep.NoUID,
	}
	if uint32(st.Mode)&unix.S_IFMT != unix.S_IFDIR {
		d.Length = st.Size
	}
	return d
}

// seconds is a time as it fits: between 1970 and 2106.
func seconds(t unix.StatxTimestamp) uint32 { return uint32(min(max(t.Sec, 0), math.MaxUint32)) }

// name is the last element of a file's path. One that has none any more keeps its last.
func (f *file) name(st *unix.Statx_t) (string, error) {
	if f.id == f.attach.id {
		return "/", nil
	}
	p, err := f.conn.server.pathOf(f.fd)
	name := path.Base(p)
	if st.Nlink == 0 {
		name = strings.TrimSuffix(name, " (deleted)")
	}
	return name, err
}

// qid identifies a file to the client. In Plan 9's dialects its type is the upper byte of the mode (stat(5)).
func (c *conn) qid(st *unix.Statx_t) ninep.QID {
	qid := c.server.qid(st)
	if c.form != nil {
		qid.Type = ninep.QIDType(c.form.mode(uint32(st.Mode)) >> 24)
	}
	return qid
}
