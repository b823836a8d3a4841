package ninefs

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
)

// attrChanges are what SETATTR can change and Tsetattr's names for it. The change time is the server's to set.
var attrChanges = []struct {
	kernel fuse.SetattrValid
	server ninep.SetMask
}{
	{fuse.SetattrMode, ninep.SetMode},
	{fuse.SetattrUID, ninep.SetUID},
	{fuse.SetattrGID, ninep.SetGID},
	{fuse.SetattrSize, ninep.SetSize},
	{fuse.SetattrAtime, ninep.SetAtime | ninep.SetAtimeGiven},
	{fuse.SetattrMtime, ninep.SetMtime | ninep.SetMtimeGiven},
}

func (fs *FS) setattr(ctx context.Context, r *fuse.Request) error {
	n, err := fs.node(r)
	if err != nil {
		return err
	}
	in := fuse.In[fuse.SetattrIn](r)
	change := changeOf(in)
	flush := fs.flushesTimes(in)
	if flush {
		ctx = ninep.WithLostTimeout(ctx, fs.o.WritebackTimeout)
	}
	set := func(f *ninep.Fid) error {
		attr, epoch, err := fs.change(ctx, n, f, change)
		if err == nil && in.Valid&fuse.SetattrKillSUIDGID != 0 && fs.privileged(attr.Mode) {
			attr, epoch, err = fs.change(ctx, n, f, ninep.SetAttr{Valid: ninep.SetMode, Mode: unprivileged(attr.Mode) & 0o7777})
		}
		if err == nil {
			fs.replyAttr(r, n, attr, epoch)
		}
		return err
	}
	if h := fs.setHandle(in, n); h != nil {
		return set(h.fid)
	}
	err = fs.onNode(ctx, n, fs.caller(r), set)
	if flush && isGone(err) { // the times of a file without a name, on a server that goes by names
		fs.replyKnown(r, n)
		return nil
	}
	return err
}

// change changes attributes of a node through a fid of it, and returns what they are after that, as of epoch.
func (fs *FS) change(ctx context.Context, n *node, fid *ninep.Fid, change ninep.SetAttr) (attr ninep.Attr, epoch uint64, err error) {
	if fs.o.Cache != Loose && change.Valid&ninep.SetSize == 0 {
		n.altered()
		epoch = n.now()
		attr, err = fid.Change(ctx, change)
		return attr, epoch, err
	}
	epoch = n.now()
	if err := fs.apply(ctx, fid, change); err != nil {
		return attr, 0, err
	}
	if change.Valid&ninep.SetMtimeGiven != 0 {
		n.timed(change.Mtime, epoch)
	}
	if n.altered(); change.Valid&ninep.SetSize != 0 {
		n.resized(change.Size)
	}
	epoch = n.now()
	attr, err = fid.Getattr(ctx, ninep.AttrBasic)
	if err == nil && fs.o.Cache == Loose {
		n.rebase(attr, epoch)
	}
	return attr, epoch, err
}

// setHandle returns the handle that a change is to be made through: where the server checks permissions, the one that the caller
// used, because it may be that nobody may open the file again, and because who flushes times is not who wrote. Where it does
// not, the file's present name is better: a server that goes by the path under which a handle was opened would truncate whatever
// is there by now. A file without a name has its handle taken by [FS.borrow].
func (fs *FS) setHandle(in *fuse.SetattrIn, n *node) *handle {
	if in.Valid&fuse.SetattrFh == 0 || fs.o.Attach == nil {
		return nil
	}
	if h := fs.handles.get(in.Fh); h != nil && h.node == n && h.writable() {
		return h
	}
	return nil
}

// changeOf translates what the kernel wants changed.
func changeOf(in *fuse.SetattrIn) ninep.SetAttr {
	change := ninep.SetAttr{
		Mode:  in.Mode & 0o7777,
		UID:   in.UID,
		GID:   in.GID,
		Size:  in.Size,
		Atime: ninep.Timespec{Sec: in.Atime, Nsec: uint64(in.AtimeNsec)},
		Mtime: ninep.Timespec{Sec: in.Mtime, Nsec: uint64(in.MtimeNsec)},
	}
	for _, c := range attrChanges {
		if in.Valid&c.kernel != 0 {
			change.Valid |= c.server
		}
	}
	if in.Valid&fuse.SetattrAtimeNow != 0 {
		change.Valid &^= ninep.SetAtimeGiven
	}
	if in.Valid&fuse.SetattrMtimeNow != 0 {
		change.Valid &^= ninep.SetMtimeGiven
	}
	return change
}

// give makes the maker of a new file its owner, which the server made the attach's user, and gives it its special bits, which
// it must not have while it is another's. In a directory with the setgid bit the group is the directory's. A server that
// squashes users lets nobody give files away: then they stay as they are.
func (fs *FS) give(ctx context.Context, fid *ninep.Fid, attr *ninep.Attr, dir *node, r *fuse.Request, special uint32) error {
	if fs.o.Attach != nil {
		return nil
	}
	change := ninep.SetAttr{UID: r.UID(), GID: r.GID()}
	if attr.UID != change.UID {
		change.Valid |= ninep.SetUID
	}
	if attr.GID != change.GID && dir.mode()&modeSetgid == 0 {
		change.Valid |= ninep.SetGID
	}
	if change.Valid != 0 {
		if err := fid.Setattr(ctx, change); err != nil {
			return unlessRefused(err)
		}
	}
	if change.Valid&ninep.SetUID != 0 {
		attr.UID = change.UID
	}
	if change.Valid&ninep.SetGID != 0 {
		attr.GID = change.GID
	}
	if special == 0 {
		return nil
	}
	mode := attr.Mode | special
	if err := fid.Setattr(ctx, ninep.SetAttr{Valid: ninep.SetMode, Mode: mode & 0o7777}); err != nil {
		return unlessRefused(err)
	}
	attr.Mode = mode
	return nil
}

// unlessRefused returns an error unless it says that the server does not do such a thing.
func unlessRefused(err error) error {
	if ninep.IsErrno(err, unix.EPERM, unix.EACCES, unix.EINVAL, unix.EOPNOTSUPP, unix.ENOSYS) {
		return nil
	}
	return err
}

// specialBits are the bits of the mode of a new file that are left to [FS.give].
func (fs *FS) specialBits(mode uint32) uint32 {
	if fs.o.Attach != nil {
		return 0
	}
	return mode & (modeSetuid | modeSetgid)
}

// privileged reports whether a file's mode has bits that a change of its content or owner has to clear, unless root makes it
// (write(2), truncate(2), chown(2)). The kernel says in each request who makes it. A server that knows clears them itself.
func (fs *FS) privileged(mode uint32) bool {
	return fs.o.Attach == nil && unprivileged(mode) != mode
}

// dropPrivileges clears those bits.
func (fs *FS) dropPrivileges(ctx context.Context, f *ninep.Fid, n *node, mode uint32) error {
	mode = unprivileged(mode)
	err := f.Setattr(ctx, ninep.SetAttr{Valid: ninep.SetMode, Mode: mode & 0o7777})
	if err == nil {
		n.remode(mode)
	}
	return err
}

// unprivileged is a mode without the bits that make a program run as somebody else. Without the group's right to execute the
// setgid bit does not (fuse.h of Linux, FUSE_HANDLE_KILLPRIV_V2).
func unprivileged(mode uint32) uint32 {
	if mode&unix.S_IFMT == unix.S_IFDIR {
		return mode
	}
	mode &^= modeSetuid
	if mode&modeGroupExec != 0 {
		mode &^= modeSetgid
	}
	return mode
}

// Bits of st_mode (inode(7)).
const (
	modeGroupExec = 0o010
	modeSetuid    = 0o4000
	modeSetgid    = 0o2000
)
