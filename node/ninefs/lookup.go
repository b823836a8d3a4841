package ninefs

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
)

func (fs *FS) lookup(ctx context.Context, r *fuse.Request) error {
	dir, name, err := fs.target(r)
	if err != nil {
		return err
	}
	var out fuse.EntryOut
	err = fs.find(ctx, dir, name, fs.caller(r), &out)
	switch {
	case err == nil:
		fs.replyFound(r, &out)
	case fs.o.Cache == Loose && errors.Is(err, unix.ENOENT):
		fs.replyMissing(r)
	default:
		return err
	}
	return nil
}

// find looks a name up on the server and fills in what the kernel is told of it: one lookup of its node.
func (fs *FS) find(ctx context.Context, dir *node, name string, uid uint32, out *fuse.EntryOut) error {
	known := fs.knownAs(dir, name)
	fid, attr, err := fs.walkAttr(ctx, dir, name, uid)
	if err != nil {
		return err
	}
	fs.replaceOutdated(known, attr)
	twins := fs.twins(ctx, attr, dir, name, uid)
	n, err := fs.settle(fid, attr, dir, name, uid, twins)
	for _, twin := range twins {
		fs.tree.unhold(twin)
	}
	if err == nil {
		fs.fillEntry(out, n, attr, known.epochOf(n))
	}
	return err
}

// acquaintance is what this mount knew of a name before it asked the server: the node last seen there, or nil, and its epoch.
type acquaintance struct {
	*node
	epoch uint64
}

func (fs *FS) knownAs(dir *node, name string) (known acquaintance) {
	if known.node = fs.tree.named(dir, name); known.node != nil {
		known.epoch = known.now()
	}
	return known
}

// epochOf is the epoch of the server's answer, which turned out to be about n.
func (known acquaintance) epochOf(n *node) uint64 {
	if known.node == n {
		return known.epoch
	}
	return n.now()
}

// settle makes what was found under a name the node's that it is, with one lookup more. fid is the cache's from then on.
func (fs *FS) settle(fid *ninep.Fid, attr ninep.Attr, dir *node, name string, uid uint32, twins []*node) (*node, error) {
	n, err := fs.tree.enter(attr, dir, name, twins)
	if err != nil {
		fid.Drop()
		return nil, err
	}
	fs.fids.put(fs.fids.add(n, uid, fid))
	return n, nil
}

// found is find for a name whose node and fid are known to be the same as before.
func (fs *FS) found(known acquaintance, attr ninep.Attr, dir *node, name string, out *fuse.EntryOut) error {
	fs.replaceOutdated(known, attr)
	n, err := fs.tree.enter(attr, dir, name, nil)
	if err != nil {
		return err
	}
	fs.fillEntry(out, n, attr, known.epochOf(n))
	return nil
}

// walkAttr walks to a name in a directory and reads its attributes.
func (fs *FS) walkAttr(ctx context.Context, dir *node, name string, uid uint32) (*ninep.Fid, ninep.Attr, error) {
	return fs.visit(ctx, dir, uid, func(d *ninep.Fid) (*ninep.Fid, ninep.Attr, error) { return d.WalkAttr(ctx, name) })
}

// visit has walk walk from a directory.
func (fs *FS) visit(
	ctx context.Context, dir *node, uid uint32, walk func(*ninep.Fid) (*ninep.Fid, ninep.Attr, error),
) (fid *ninep.Fid, attr ninep.Attr, err error) {
	err = fs.onDir(ctx, dir, uid, func(d *ninep.Fid) error {
		var err error
		fid, err = fs.bind(func() (fid *ninep.Fid, err error) {
			fid, attr, err = walk(d)
			return fid, err
		})
		return err
	})
	return fid, attr, err
}

// twins returns, held, the nodes that share the number of a file found at (dir, name) but are certainly other files: servers
// that export several devices in one tree may number the files of each from the beginning, and all subvolumes of btrfs begin
// with one number. They are recognised by being in two places at once.
func (fs *FS) twins(ctx context.Context, attr ninep.Attr, dir *node, name string, uid uint32) (twins []*node) {
	for {
		n := fs.tree.suspect(attr, dir, name, twins)
		if n == nil {
			return twins
		}
		if !fs.stays(ctx, n, uid) {
			fs.tree.unhold(n)
			return twins
		}
		twins = append(twins, n)
	}
}

// stays reports whether a node is still where it was last seen.
func (fs *FS) stays(ctx context.Context, n *node, uid uint32) bool {
	dir, name := fs.tree.where(n)
	if dir == nil {
		return n == fs.tree.root
	}
	fid, attr, err := fs.walkAttr(ctx, dir, name, uid)
	if err != nil {
		return false
	}
	fid.Drop()
	return n.is(attr)
}

// fillEntry tells the kernel of a node that it was given a lookup of.
func (fs *FS) fillEntry(out *fuse.EntryOut, n *node, attr ninep.Attr, epoch uint64) {
	fs.told(n, &attr, epoch)
	*out = fuse.EntryOut{NodeID: n.id, Attr: n.kernelAttr(attr)}
	out.EntryValid, out.EntryValidNsec = split(fs.ttl)
	out.AttrValid, out.AttrValidNsec = split(fs.attrTTL(n))
}

// tick is the shortest time there is for the kernel, which rounds it up to the next tick of its clock, 10 ms away at most.
const tick = time.Nanosecond

// attrTTL is how long the kernel may go by a node's attributes. Those of a directory hold for a tick at least: it checks its
// permissions on the way to every name in it, and without a cache would ask each time for what LOOKUP has just told.
func (fs *FS) attrTTL(n *node) time.Duration {
	if n.file.format == unix.S_IFDIR {
		return max(fs.ttl, tick)
	}
	return fs.ttl
}

// replyFound answers LOOKUP.
func (fs *FS) replyFound(r *fuse.Request, out *fuse.EntryOut) {
	fs.taste.lookedUp(r.NodeID(), r.Name(), out.Attr.Mode)
	if fs.ttl == 0 {
		fs.echo.told(r, out)
	}
	r.ReplyEntry(out)
}

// told takes in attributes that the kernel is about to be told.
func (fs *FS) told(n *node, attr *ninep.Attr, epoch uint64) {
	fs.clock.observe(timeOf(attr.Ctime))
	n.tell(*attr, epoch, fs.ttl)
	fs.countBlocks(n, attr)
}

// replyAttr answers GETATTR and SETATTR.
func (fs *FS) replyAttr(r *fuse.Request, n *node, attr ninep.Attr, epoch uint64) {
	fs.told(n, &attr, epoch)
	out := fuse.AttrOut{Attr: n.kernelAttr(attr)}
	out.AttrValid, out.AttrValidNsec = split(fs.attrTTL(n))
	r.ReplyAttr(&out)
}

// young reports whether a file changed so lately that it can change again without its stamp showing it.
func (fs *FS) young(attr ninep.Attr) bool {
	fs.clock.observe(timeOf(attr.Ctime))
	return fs.clock.young(timeOf(stampOf(attr).changed()))
}
