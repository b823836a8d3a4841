package server

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// classicForm is what differs between the two dialects that open, make and describe files as Plan 9 does: 9P2000, whose
// form is plainForm, and 9P2000.u, whose is unixForm.
type classicForm interface {
	// mode is the wire's mode of a file whose st_mode is this.
	mode(host uint32) ninep.StatMode
	// permissions are the host's bits that a file of this st_mode is to have for a wire's mode, which must be one of its kind.
	permissions(now uint32, mode ninep.StatMode) (uint32, error)
	// openFlags translates the flags of an open mode, its access apart.
	openFlags(mode uint8) (int, error)
	// newNode is the file that a Tcreate asks for in a directory.
	newNode(m *ninep.Tcreate, dir *unix.Statx_t) (node, error)
	// describe completes the description of a file, whose descriptor is fd or whose name is in the directory fd.
	describe(d *ninep.Stat, st *unix.Statx_t, fd int, name string) error
	// change adds to what a Twstat changes that only this dialect's can, and refuses what it cannot.
	change(set *ninep.SetAttr, want, now *ninep.Stat) error
	// move gives a file another name in its directory.
	move(dir int, from, to string) error
}

// claimClassic takes the places of the requests of Plan 9's dialects.
func (c *conn) claimClassic(r *request) error {
	switch m := r.msg.(type) {
	case *ninep.Topen:
		return c.hold(r, m.Fid, alter)
	case *ninep.Tcreate:
		return c.claimCreate(r, m)
	case *ninep.Tstat:
		return c.hold(r, m.Fid, use)
	case *ninep.Twstat:
		return c.hold(r, m.Fid, use)
	}
	return nil
}

// claimCreate puts a hard link's target before the directory. Both at one fid would wait for each other.
func (c *conn) claimCreate(r *request, m *ninep.Tcreate) error {
	if m.Perm&ninep.DMLink == 0 || c.dialect != ninep.DialectU {
		return c.hold(r, m.Fid, alter)
	}
	// Linux ends the number with a newline.
	target, err := strconv.ParseUint(strings.TrimSuffix(m.Extension, "\n"), 10, 32)
	if err != nil {
		return unix.EINVAL
	}
	if ninep.FID(target) == m.Fid {
		return unix.EPERM
	}
	return c.holdBoth(r, ninep.FID(target), m.Fid, alter)
}

// dispatchClassic serves the requests of Plan 9's dialects.
func (c *conn) dispatchClassic(r *request) (ninep.Message, error) {
	switch m := r.msg.(type) {
	case *ninep.Topen:
		return c.open(r, m)
	case *ninep.Tcreate:
		return c.create(r, m)
	case *ninep.Tstat:
		return c.stat(r)
	case *ninep.Twstat:
		return c.wstat(r, m)
	}
	return nil, unix.EOPNOTSUPP
}

// readDirectory answers Tread of a directory, which only Plan 9's dialects read by that.
func (c *conn) readDirectory(r *request, f *file) error {
	if c.form == nil {
		return unix.EISDIR
	}
	return c.readEntries(r, f)
}
