package ninefs

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
)

func (fs *FS) unlink(ctx context.Context, r *fuse.Request) error { return fs.remove(ctx, r, false) }

func (fs *FS) rmdir(ctx context.Context, r *fuse.Request) error { return fs.remove(ctx, r, true) }

func (fs *FS) remove(ctx context.Context, r *fuse.Request, isDir bool) error {
	dir, name, err := fs.target(r)
	if err != nil {
		return err
	}
	fs.part(ctx, dir, name)
	err = fs.onDir(ctx, dir, fs.caller(r), func(d *ninep.Fid) error { return d.Unlink(ctx, name, isDir) })
	if err != nil {
		return err
	}
	fs.tree.removed(dir, name, fs.fids.keep)
	r.ReplyOK()
	return nil
}

// part reads the attributes of an open file before its name is removed: see [node.parted]. If another client has given it one
// more name since it was looked up, it must stay the same file when it is found by that.
func (fs *FS) part(ctx context.Context, dir *node, name string) {
	n := fs.tree.named(dir, name)
	if n == nil {
		return
	}
	if h := fs.handles.of(n); h != nil {
		if attr, err := fs.attrThrough(ctx, h); err == nil {
			n.part(attr)
			fs.tree.counted(n, attr.Nlink)
		}
	}
}

func (fs *FS) rename(ctx context.Context, r *fuse.Request) error {
	return fs.move(ctx, r, fuse.In[fuse.RenameIn](r).Newdir)
}

// rename2 is renameat2(2) with flags, none of which 9P can carry out in one step. EINVAL is the answer of file systems that
// know no flags; callers then do without.
func (fs *FS) rename2(ctx context.Context, r *fuse.Request) error {
	in := fuse.In[fuse.Rename2In](r)
	if in.Flags != 0 {
		return unix.EINVAL
	}
	return fs.move(ctx, r, in.Newdir)
}

func (fs *FS) move(ctx context.Context, r *fuse.Request, newDirID uint64) error {
	oldDir, oldName, err := fs.target(r)
	if err != nil {
		return err
	}
	newDir, err := fs.nodeOf(newDirID)
	if err != nil {
		return err
	}
	newName, err := nameOf(r.Name2())
	if err != nil {
		return err
	}
	uid := fs.caller(r)
	fs.part(ctx, newDir, newName)
	err = fs.onDir(ctx, oldDir, uid, func(from *ninep.Fid) error {
		return fs.onDir(ctx, newDir, uid, func(to *ninep.Fid) error { return from.Rename(ctx, oldName, to, newName) })
	})
	if err != nil {
		return err
	}
	if n := fs.tree.moved(oldDir, oldName, newDir, newName, fs.fids.keep); n != nil {
		fs.forgetBelow(n)
	}
	r.ReplyOK()
	return nil
}

// forgetBelow gives up the fids of a node that was moved and of all below it: to a server that knows fids by path they stand
// for the old one.
func (fs *FS) forgetBelow(top *node) {
	if !top.rec.isDir() {
		fs.fids.forget(top)
		return
	}
	for _, n := range fs.fids.nodes() {
		if fs.tree.under(n, top) {
			fs.fids.forget(n)
		}
	}
}

func (fs *FS) link(ctx context.Context, r *fuse.Request) error {
	dir, name, err := fs.target(r)
	if err != nil {
		return err
	}
	n, err := fs.nodeOf(fuse.In[fuse.LinkIn](r).OldNodeID)
	if err != nil {
		return err
	}
	uid := fs.caller(r)
	epoch := n.now()
	var attr ninep.Attr
	err = fs.onDir(ctx, dir, uid, func(d *ninep.Fid) error {
		return fs.onNode(ctx, n, uid, func(f *ninep.Fid) error { return d.Link(ctx, f, name) })
	})
	if err == nil {
		attr, err = fs.attrOf(ctx, n, uid)
	}
	if err != nil {
		return err
	}
	fs.tree.linked(n, attr, dir, name)
	var out fuse.EntryOut
	fs.fillEntry(&out, n, attr, epoch)
	r.ReplyEntry(&out)
	return nil
}
