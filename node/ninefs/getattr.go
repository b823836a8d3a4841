package ninefs

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
)

func (fs *FS) getattr(ctx context.Context, r *fuse.Request) error {
	n, err := fs.node(r)
	if err != nil {
		return err
	}
	epoch := n.now()
	var attr ninep.Attr
	if in := fuse.In[fuse.GetattrIn](r); in.Flags&fuse.GetattrFh == 0 {
		ctx, done := fs.whileReachable(ctx)
		defer done()
		attr, err = fs.attrOf(ctx, n, fs.caller(r))
		if err != nil && errors.Is(context.Cause(ctx), errUnreachable) {
			fs.replyKnown(r, n)
			return nil
		}
	} else if h, errH := fs.handleOf(in.Fh); errH != nil {
		err = errH
	} else {
		attr, err = fs.attrThrough(ctx, h)
	}
	if err != nil {
		return err
	}
	fs.replyAttr(r, n, attr, epoch)
	return nil
}

// replyKnown answers GETATTR with what was last heard of a file. Who cleans up after a server that is gone for good looks at
// mount points, the roots of volumes and the targets of subPaths (the kubelet's PathExists before it unmounts them), and must
// not wait for it; as little as with nfs(5)'s softreval. Whoever opens a file, or looks for one by its name, waits.
func (fs *FS) replyKnown(r *fuse.Request, n *node) {
	r.ReplyAttr(&fuse.AttrOut{Attr: n.kernelAttr(n.known())})
}

// attrThrough reads the attributes of an open file. Servers that go by the path under which it was opened (diod, QEMU before
// 10) find nothing there after a rename, or another file: then it is asked for by its present name.
func (fs *FS) attrThrough(ctx context.Context, h *handle) (ninep.Attr, error) {
	attr, err := h.fid.Getattr(ctx, ninep.AttrBasic)
	if isGone(err) || err == nil && !h.node.is(attr) {
		return fs.attrOf(ctx, h.node, h.uid)
	}
	return attr, err
}

// attrOf reads a node's attributes. A server that knows fids by path can have another file there by now: then the node is gone,
// or what it was like when it lost its name has to do.
func (fs *FS) attrOf(ctx context.Context, n *node, uid uint32) (attr ninep.Attr, err error) {
	err = fs.onNode(ctx, n, uid, func(f *ninep.Fid) error {
		attr, err = f.Getattr(ctx, ninep.AttrBasic)
		if err == nil && !n.is(attr) {
			return unix.ESTALE
		}
		return err
	})
	if dir, _ := fs.tree.where(n); dir == nil && isGone(err) {
		if last, ok := n.parted(); ok {
			return last, nil
		}
	}
	return attr, err
}

func (fs *FS) readlink(ctx context.Context, r *fuse.Request) error {
	n, err := fs.node(r)
	if err != nil {
		return err
	}
	var target string
	err = fs.onNode(ctx, n, fs.caller(r), func(f *ninep.Fid) (err error) {
		target, err = f.Readlink(ctx)
		return err
	})
	if err != nil {
		return err
	}
	r.ReplyData([]byte(target))
	return nil
}

func (fs *FS) statfs(ctx context.Context, r *fuse.Request) error {
	n, err := fs.node(r)
	if err != nil {
		return err
	}
	var s ninep.Statfs
	asking, done := fs.whileReachable(ctx)
	defer done()
	err = fs.onNode(asking, n, fs.caller(r), func(f *ninep.Fid) (err error) {
		s, err = f.Statfs(asking)
		return err
	})
	var usage Usage
	if fs.o.Usage != nil {
		usage = fs.o.Usage(ctx)
	}
	switch known := fs.figures.Load(); {
	case err == nil:
		fs.figures.Store(&s)
	case ninep.IsErrno(err, unix.EOPNOTSUPP, unix.ENOSYS):
		s = usage.figures()
	case known != nil && errors.Is(context.Cause(asking), errUnreachable):
		s = *known // for df, which looks at every mount of a machine
	default:
		return err
	}
	out := fuse.StatfsOut{
		Blocks:  s.Blocks,
		Bfree:   s.BlocksFree,
		Bavail:  s.BlocksAvail,
		Files:   s.Files,
		Ffree:   s.FilesFree,
		Bsize:   max(s.BlockSize, 512),
		Frsize:  max(s.BlockSize, 512),
		Namelen: ninep.MaxName,
	}
	usage.show(&out)
	r.ReplyStatfs(&out)
	return nil
}

// figures are those of a file system that tells none: room for the volume, and nothing where that has no size either, as of
// other file systems without a count (simple_statfs of fs/libfs.c).
func (u Usage) figures() ninep.Statfs {
	const block = 4096
	blocks := u.Capacity / block
	return ninep.Statfs{BlockSize: block, Blocks: blocks, BlocksFree: blocks, BlocksAvail: blocks}
}

// show makes a volume's own size of the figures of its file system. There is no more room in it than the file system has.
func (u Usage) show(out *fuse.StatfsOut) {
	block := uint64(out.Frsize)
	if u.Capacity == 0 {
		return
	}
	used := out.Blocks - min(out.Bfree, out.Blocks)
	out.Blocks = u.Capacity / block
	if u.UsedKnown {
		used = (u.Used + block - 1) / block
		out.Files = u.Files + out.Ffree
	}
	room := out.Blocks - min(used, out.Blocks)
	out.Bfree = min(room, out.Bfree)
	out.Bavail = min(room, out.Bavail)
}
