package server

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// untouched is the description that changes nothing.
var untouched = ninep.UntouchedStat()

// changes reports whether a field of a Twstat asks for something else than what is.
func changes[T comparable](want, untouched, now T) bool { return want != untouched && want != now }

// ownerID is the id that a number, or else a name, stands for; NoUID if it is not to be touched.
func ownerID(number uint32, name, now string, lookup func(string) (uint32, error)) (uint32, error) {
	if number == ninep.NoUID && changes(name, "", now) {
		return lookup(name)
	}
	return number, nil
}

// wstat changes a file as its description says, all of it or nothing. One that says nothing asks for what was written
// to be made durable (stat(5)).
func (c *conn) wstat(r *request, m *ninep.Twstat) (ninep.Message, error) {
	f := r.file(0)
	switch {
	case f == nil:
		return nil, unix.EBADF
	case m.Stat == untouched:
		return &ninep.Rwstat{}, f.sync()
	case c.server.options.ReadOnly:
		return nil, unix.EROFS
	}
	w, err := c.newChange(f, &m.Stat)
	if err != nil {
		return nil, err
	}
	return &ninep.Rwstat{}, w.apply()
}

// sync makes durable what was written to a file, by whatever fid.
func (f *file) sync() error {
	if f.open {
		return unix.Fsync(f.fd)
	}
	if f.typ != unix.S_IFREG && f.typ != unix.S_IFDIR {
		return nil
	}
	fd, err := f.conn.server.reopen(f.fd, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fsync(fd)
}

// change is what a Twstat changes of a file.
type change struct {
	form   classicForm
	file   *file
	before *unix.Statx_t
	set    ninep.SetAttr
	name   string // "": the file keeps its name

	altered ninep.SetMask // what of set was done
	dir     int           // where the file was moved; -1: it was not
	oldName string
}

// newChange compares a description with what is, and refuses what cannot be changed.
func (c *conn) newChange(f *file, want *ninep.Stat) (*change, error) {
	now, st, err := c.describe(f)
	if err != nil {
		return nil, err
	}
	w := &change{form: c.form, file: f, before: st, dir: -1}
	if fixedChange(want, &now) {
		return nil, unix.EPERM
	}
	if changes(want.Mode, untouched.Mode, now.Mode) {
		if w.set.Mode, err = c.form.permissions(uint32(st.Mode), want.Mode); err != nil {
			return nil, err
		}
		w.set.Valid |= ninep.SetMode
	}
	if changes(want.Mtime, untouched.Mtime, now.Mtime) {
		w.set.Valid |= ninep.SetMtime | ninep.SetMtimeGiven
		w.set.Mtime.Sec = uint64(want.Mtime)
	}
	// A directory's length is not its own; a regular file's may be another by now.
	if changes(want.Length, untouched.Length, now.Length) || want.Length != untouched.Length && f.typ == unix.S_IFREG {
		w.set.Valid |= ninep.SetSize
		w.set.Size = want.Length
	}
	if changes(want.Name, untouched.Name, now.Name) {
		if err := errors.Join(checkName(want.Name), f.movable()); err != nil {
			return nil, err
		}
		w.name = want.Name
	}
	return w, c.form.change(&w.set, want, &now)
}

// fixedChange reports whether a description wants something else that no dialect can change.
func fixedChange(want, now *ninep.Stat) bool {
	return changes(want.Kind, untouched.Kind, now.Kind) || changes(want.Dev, untouched.Dev, now.Dev) ||
		changes(want.QID.Type, untouched.QID.Type, now.QID.Type) ||
		changes(want.QID.Version, untouched.QID.Version, now.QID.Version) ||
		changes(want.QID.Path, untouched.QID.Path, now.QID.Path) || changes(want.MUID, untouched.MUID, now.MUID)
}

// apply makes the change, with the user's credentials. What was done of one that fails is undone with the process's own:
// the user may have given away the right to.
func (w *change) apply() error {
	err := w.file.attach.user.do(w.do)
	if err != nil {
		w.undo()
	}
	if w.dir >= 0 {
		unix.Close(w.dir)
	}
	return err
}

// do changes the length last, because what it cuts off cannot be brought back. That clears bits of the mode and sets the
// time, which are set again.
func (w *change) do() error {
	if err := w.setAttributes(); err != nil {
		return err
	}
	if w.name != "" {
		if err := w.move(); err != nil {
			return err
		}
	}
	if w.set.Valid&ninep.SetSize == 0 {
		return nil
	}
	if err := setSize(w.file, &w.set); err != nil {
		return err
	}
	return w.setAttributes()
}

// setAttributes sets the owner before the mode, of which a new owner clears bits.
func (w *change) setAttributes() error {
	s := w.file.conn.server
	for _, step := range []struct {
		mask ninep.SetMask
		set  func(*file, *ninep.SetAttr) error
	}{
		{ninep.SetUID | ninep.SetGID, setOwner},
		{ninep.SetMode, s.setMode},
		{ninep.SetAtime | ninep.SetMtime, s.setTimes},
	} {
		if w.set.Valid&step.mask == 0 {
			continue
		}
		if err := step.set(w.file, &w.set); err != nil {
			return err
		}
		w.altered |= w.set.Valid & step.mask
	}
	return nil
}

func (w *change) move() error {
	dir, name, err := w.file.locate()
	if err != nil {
		return err
	}
	if err := w.form.move(dir, name, w.name); err != nil {
		unix.Close(dir)
		return err
	}
	w.dir, w.oldName = dir, name
	return nil
}

// undo brings back what the file was, as far as the host lets it.
func (w *change) undo() {
	st := w.before
	back := ninep.SetAttr{
		Valid: w.altered,
		Mode:  uint32(st.Mode) & permissions,
		UID:   st.Uid, GID: st.Gid,
		Atime: timespec(st.Atime), Mtime: timespec(st.Mtime),
	}
	if w.altered&(ninep.SetUID|ninep.SetGID) != 0 {
		back.Valid |= ninep.SetMode
	}
	if w.altered&(ninep.SetAtime|ninep.SetMtime) != 0 {
		back.Valid |= ninep.SetAtimeGiven | ninep.SetMtimeGiven
	}
	if w.dir >= 0 {
		_ = unix.Renameat2(w.dir, w.name, w.dir, w.oldName, unix.RENAME_NOREPLACE)
	}
	w.set, w.altered = back, 0
	_ = w.setAttributes()
}
