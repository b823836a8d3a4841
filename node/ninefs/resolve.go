package ninefs

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
)

// loan is a fid of a node for one operation: one of the cache's, or that of a handle which the user has open where no name leads to
// the node.
type loan struct {
	*ninep.Fid
	cached *cachedFid
	old    bool // it was there before: what it stands for may have gone since
}

func (fs *FS) giveBack(l loan) {
	if l.cached != nil {
		fs.fids.put(l.cached)
	}
}

// onNode runs an operation about a node itself on a fid of it. If a fid from the cache turns out to be of no use, the node is
// walked to and the operation run again, once: the file may have been moved by another client on a server that knows fids by
// path. A node that is not there any more is ESTALE: for a path the kernel then looks again what it leads to.
func (fs *FS) onNode(ctx context.Context, n *node, uid uint32, op func(*ninep.Fid) error) error {
	err := fs.onFid(ctx, n, uid, op, unix.EBADF, unix.ESTALE, unix.ENOENT, unix.ENOTDIR)
	if isGone(err) {
		return unix.ESTALE
	}
	return err
}

// onDir runs an operation about a name in a directory: ENOENT is about the name.
func (fs *FS) onDir(ctx context.Context, n *node, uid uint32, op func(*ninep.Fid) error) error {
	return fs.onFid(ctx, n, uid, op, unix.EBADF, unix.ESTALE)
}

func (fs *FS) onFid(ctx context.Context, n *node, uid uint32, op func(*ninep.Fid) error, useless ...unix.Errno) error {
	for {
		l, err := fs.borrow(ctx, n, uid)
		if err != nil {
			return err
		}
		err = op(l.Fid)
		again := l.old && l.cached != nil && n != fs.tree.root && ninep.IsErrno(err, useless...)
		if again {
			fs.fids.discard(l.cached)
		}
		fs.giveBack(l)
		if !again {
			return err
		}
	}
}

// isGone reports whether an error says that a file is not where it was.
func isGone(err error) bool { return ninep.IsErrno(err, unix.ESTALE, unix.ENOENT, unix.ENOTDIR) }

// borrow returns a fid of a node.
func (fs *FS) borrow(ctx context.Context, n *node, uid uint32) (loan, error) {
	if f := fs.fids.get(n, uid); f != nil {
		l := loan{f.Fid, f, true}
		if dir, _ := fs.tree.where(n); dir == nil && n != fs.tree.root {
			return fs.checked(ctx, n, l)
		}
		return l, nil
	}
	if n == fs.tree.root {
		return fs.attach(ctx, uid)
	}
	l, err := fs.walkTo(ctx, n, uid)
	if isGone(err) { // for whoever has it open it is still there
		if h := fs.handles.by(n, uid); h != nil {
			return fs.viaHandle(ctx, h)
		}
	}
	return l, err
}

// viaHandle returns a fid of a node that is open. From an open one no names can be walked: of a directory it is another.
func (fs *FS) viaHandle(ctx context.Context, h *handle) (loan, error) {
	l := loan{Fid: h.fid}
	if h.dir != nil {
		fid, err := fs.bind(func() (*ninep.Fid, error) { return h.fid.Walk(ctx) })
		if err != nil {
			return loan{}, err
		}
		f := fs.fids.add(h.node, h.uid, fid)
		l = loan{f.Fid, f, false}
	}
	return fs.checked(ctx, h.node, l)
}

// walkTo returns a fid of a node that was walked to by a name of it; ESTALE: none leads there.
func (fs *FS) walkTo(ctx context.Context, n *node, uid uint32) (loan, error) {
	top, names, at := fs.path(n, uid)
	if top == nil {
		return loan{}, unix.ESTALE
	}
	from, err := fs.borrow(ctx, top, uid)
	if err != nil {
		return loan{}, err
	}
	defer fs.giveBack(from)
	fid, err := fs.bind(func() (*ninep.Fid, error) { return from.Walk(ctx, names...) })
	if err == nil {
		if q := fid.QID(); q.Path == n.file.path && uint8(q.Type) == n.qidType {
			f := fs.fids.add(n, uid, fid)
			return loan{f.Fid, f, false}, nil
		}
		fid.Drop()
		err = unix.ESTALE
	}
	if !isGone(err) {
		return loan{}, err
	}
	if fs.tree.strayed(n, at) {
		return fs.walkTo(ctx, n, uid)
	}
	return loan{}, unix.ESTALE
}

// checked returns a fid of a node that no name leads to, if it still is the node's: a server that goes by the path under which the
// fid came about may have another file there by now.
func (fs *FS) checked(ctx context.Context, n *node, l loan) (loan, error) {
	attr, err := l.Getattr(ctx, ninep.AttrBasic)
	if isGone(err) || err == nil && !n.is(attr) {
		err = unix.ESTALE
	}
	if err != nil {
		fs.giveBack(l)
		return loan{}, err
	}
	return l, nil
}

// attach returns a fid of the root for a user of access by user.
func (fs *FS) attach(ctx context.Context, uid uint32) (loan, error) {
	if uid == fuse.NoID { // to 9P it says that there is no uid, and that the name counts
		return loan{}, unix.EOVERFLOW
	}
	fid, err := fs.bind(func() (*ninep.Fid, error) { return fs.o.Attach(ctx, uid) })
	if err != nil {
		return loan{}, err
	}
	f := fs.fids.add(fs.tree.root, uid, fid)
	return loan{f.Fid, f, false}, nil
}

// path returns the nearest directory above a node that a fid is at hand of, the names that lead from there, and the node's own
// place at their end; nil where the way is not known.
func (fs *FS) path(n *node, uid uint32) (top *node, names []string, at place) {
	for {
		dir, name := fs.tree.where(n)
		if dir == nil {
			return nil, nil, place{}
		}
		if len(names) == 0 {
			at = place{indexOf(dir.id), name}
		}
		names = append([]string{name}, names...)
		if dir == fs.tree.root || fs.fids.has(dir, uid) {
			return dir, names, at
		}
		n = dir
	}
}

// bind makes a fid, and gives others up if the server has no more to give.
func (fs *FS) bind(walk func() (*ninep.Fid, error)) (*ninep.Fid, error) {
	for {
		round := fs.fids.round()
		fid, err := walk()
		if !ninep.IsErrno(err, unix.EMFILE, unix.ENFILE, unix.ERANGE) || !fs.fids.halve(round) {
			return fid, err
		}
	}
}

// notify drops what the kernel has of a node. It waits for pages under way.
func (fs *FS) notify(ctx context.Context, id uint64) { fs.notifyRange(ctx, id, 0, 0) }

// notifyRange is notify for the pages from off on for n bytes.
func (fs *FS) notifyRange(ctx context.Context, id uint64, off, n int64) {
	notifier := fs.notifier.Load()
	if notifier == nil {
		return
	}
	ninep.Block(ctx)
	// It fails when the connection has ended, and then nobody looks at the pages any more.
	_ = (*notifier).NotifyInvalInode(id, off, n)
}
