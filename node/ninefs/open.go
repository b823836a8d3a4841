package ninefs

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
)

// passedFlags are the flags of open(2) that mean something to the server. O_APPEND is not among them: the kernel says where
// each write goes, and write-back of a page through such a handle must not go to the end. O_DIRECT is about our cache, not
// the server's.
const passedFlags = unix.O_ACCMODE | unix.O_TRUNC | unix.O_DSYNC | unix.O_SYNC | unix.O_NONBLOCK

// openFlags are what the server is asked for where the kernel asked for flags. With write-back that reads what of a page it is
// not told.
func (fs *FS) openFlags(flags uint32) uint32 {
	if fs.o.Cache == Loose && flags&unix.O_ACCMODE == unix.O_WRONLY {
		flags = flags&^unix.O_ACCMODE | unix.O_RDWR
	}
	return flags & passedFlags
}

// openMode is what the kernel is told of a file that was opened with flags. keep: what it has of the file is right.
func (fs *FS) openMode(n *node, flags uint32, keep bool) fuse.OpenFlags {
	switch {
	case fs.sideBySide(n, flags):
		return fuse.OpenDirectIO | fuse.OpenParallelDirectWrites
	case fs.o.Cache == CacheNone:
		return fuse.OpenDirectIO
	case keep:
		return fuse.OpenKeepCache
	}
	return 0
}

// openFid opens a file, unless it is open already, as the kernel asks for; mode is what that is told besides [FS.openMode]. Who may
// write and not read writes through.
func (fs *FS) openFid(ctx context.Context, fid *ninep.Fid, asked uint32) (mode fuse.OpenFlags, err error) {
	if fid.IsOpen() {
		return 0, nil
	}
	flags := fs.openFlags(asked)
	err = fid.Open(ctx, flags)
	if asked &= passedFlags; flags != asked && ninep.IsErrno(err, unix.EACCES, unix.EPERM) {
		return fuse.OpenDirectIO, fid.Open(ctx, asked)
	}
	return 0, err
}

func (fs *FS) open(ctx context.Context, r *fuse.Request) error {
	n, err := fs.node(r)
	if err != nil {
		return err
	}
	in := fuse.In[fuse.OpenIn](r)
	uid := fs.caller(r)
	epoch := n.now()
	ahead := fs.prefetch(n, in.Flags, epoch)
	defer ahead.opened()
	fid, attr, err := fs.revisit(ctx, n, uid, in.Flags, ahead)
	if err != nil {
		return err
	}
	mode, err := fs.openAs(ctx, n, fid, attr, in, epoch)
	if err != nil {
		fid.Drop()
		return err
	}
	h := &handle{node: n, fid: fid, flags: in.Flags, uid: uid, mode: mode}
	ahead.keep(h, attr.Size)
	if err := fs.handles.add(h); err != nil {
		fs.endPrefetch(h)
		fid.Drop()
		return err
	}
	r.ReplyOpen(&fuse.OpenOut{Fh: h.id, OpenFlags: h.mode})
	return nil
}

// openAs opens what was found to have these attributes at epoch, and returns what the kernel is told of it. What that must not show any
// more is dropped before.
func (fs *FS) openAs(ctx context.Context, n *node, fid *ninep.Fid, attr ninep.Attr, in *fuse.OpenIn, epoch uint64) (fuse.OpenFlags, error) {
	if fs.outdated(n, attr, epoch) {
		return 0, unix.ESTALE // the kernel then looks again, and finds another node
	}
	truncates := in.Flags&unix.O_TRUNC != 0
	keep := fs.o.Cache == Loose || fs.o.Cache == CloseToOpen && fs.refresh(ctx, n, attr, epoch, truncates)
	n.remode(attr.Mode)
	mode, err := fs.openFid(ctx, fid, in.Flags)
	if err != nil {
		return 0, err
	}
	if truncates {
		n.resized(0)
	}
	if in.OpenFlags&fuse.OpenKillSUIDGID != 0 && fs.privileged(attr.Mode) {
		err = fs.dropPrivileges(ctx, fid, n, attr.Mode)
	}
	return fs.openMode(n, in.Flags, keep) | mode, err
}

// revisit returns a new fid of a node, walked to by its name, and the attributes that the file has now. The fid may be open, as
// asked, and ahead under way with it. Where the name leads to another file the answer is ESTALE: the kernel then looks the path up
// again, so that whoever opens a path gets the file that is there, not one that was there within the life of a name.
func (fs *FS) revisit(
	ctx context.Context, n *node, uid, asked uint32, ahead *prefetch,
) (fid *ninep.Fid, attr ninep.Attr, err error) {
	dir, name := fs.tree.where(n)
	switch {
	case dir == nil:
		return fs.clone(ctx, n, uid)
	case asked&unix.O_TRUNC != 0: // not before it is known to be the file that the kernel checked permissions of
		fid, attr, err = fs.walkAttr(ctx, dir, name, uid)
	default:
		hints := ninep.OpenHints{Known: func() *ninep.Fid { return fs.fids.claim(n, uid) }}
		fid, attr, err = fs.visit(ctx, dir, uid, func(d *ninep.Fid) (*ninep.Fid, ninep.Attr, error) {
			hints.Prefetch = ahead.once()
			return d.WalkOpen(ctx, name, fs.openFlags(asked), &hints)
		})
		if hints.Spare != nil {
			fs.fids.put(fs.fids.add(n, uid, hints.Spare))
		}
	}
	if isGone(err) {
		return nil, attr, unix.ESTALE
	}
	if err == nil && !n.is(attr) {
		fid.Drop()
		return nil, attr, unix.ESTALE
	}
	return fid, attr, err
}

// clone is revisit for a node without a name.
func (fs *FS) clone(ctx context.Context, n *node, uid uint32) (fid *ninep.Fid, attr ninep.Attr, err error) {
	err = fs.onNode(ctx, n, uid, func(f *ninep.Fid) error {
		fid, err = fs.bind(func() (*ninep.Fid, error) { return f.Walk(ctx) })
		if err != nil {
			return err
		}
		if attr, err = fid.Getattr(ctx, ninep.AttrBasic); err == nil && !n.is(attr) {
			err = unix.ESTALE
		}
		if err != nil {
			fid.Drop()
		}
		return err
	})
	return fid, attr, err
}

// refresh makes the kernel forget what it must not show any more of a file that has these attributes now, and reports whether
// the rest of its pages is right. truncates: the file is about to be made empty, and pages changed through a mapping must
// not be written back after that.
func (fs *FS) refresh(ctx context.Context, n *node, attr ninep.Attr, epoch uint64, truncates bool) (keep bool) {
	young := fs.young(attr)
	v := n.judge(attr, epoch, truncates)
	if v.stale {
		fs.notify(ctx, n.id)
	}
	if !v.keep {
		n.trust(attr, epoch, young)
	}
	return v.keep && fs.notifier.Load() != nil
}

func (fs *FS) release(ctx context.Context, r *fuse.Request) error {
	in := fuse.In[fuse.ReleaseIn](r)
	h, err := fs.handleOf(in.Fh)
	if err != nil {
		return err
	}
	// Locks whose owner is the open file end with it, flock(2)'s and fcntl(2)'s F_OFD_SETLK's; for the latter the kernel says
	// nothing. Those of processes have been given back by FLUSH.
	for _, owner := range fs.handles.lockers(h) {
		ninep.Block(ctx)
		fs.unlockAll(ctx, h, owner)
	}
	fs.retime(ctx, h) // a mapping outlives close(2)
	fs.endPrefetch(h)
	fs.handles.remove(h)
	h.fid.Drop()
	r.ReplyOK()
	return nil
}

// flush is close(2), which gives back the caller's fcntl locks on the file whichever descriptor they were taken through.
// Nothing written is waiting: what the kernel had it has written back before (fuse_flush).
func (fs *FS) flush(ctx context.Context, r *fuse.Request) error {
	in := fuse.In[fuse.FlushIn](r)
	h, err := fs.handleOf(in.Fh)
	if err != nil {
		return err
	}
	fs.unlockAll(ctx, h, fs.posixOwner(in.LockOwner))
	fs.retime(ctx, h)
	r.ReplyOK()
	return nil
}

func (fs *FS) fsync(ctx context.Context, r *fuse.Request) error {
	in := fuse.In[fuse.FsyncIn](r)
	h, err := fs.handleOf(in.Fh)
	if err != nil {
		return err
	}
	err = h.fid.Fsync(ctx, in.FsyncFlags&fuse.FsyncDataOnly != 0)
	if err == nil || h.dir != nil && ninep.IsErrno(err, unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL) {
		// Servers that sync no directories have no way to say so to the application that did nothing wrong.
		r.ReplyOK()
		return nil
	}
	return err
}
