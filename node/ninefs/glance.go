package ninefs

import (
	"sync"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
)

// A stat(2) without a cache is a LOOKUP and a GETATTR, more on longer paths, and to have a worker run each costs more than
// all else about it. So one for what is known, which is the rule then, is carried out as READ is: the message is sent by the
// goroutine that read the request and the answer given by the one that the reply comes in on. Whatever is not as it was is the
// workers' to find out.

// glance is a GETATTR of a node, or a LOOKUP of a name that a node is known by, on its way.
type glance struct {
	waiter
	ask   ninep.Glance
	fs    *FS
	node  *node
	fid   *cachedFid
	epoch uint64

	// Of LOOKUP.
	dir    *node // nil: it is GETATTR
	name   string
	dirFid *cachedFid
}

var glances = sync.Pool{New: func() any {
	g := new(glance)
	g.init(g.interruptedLong)
	return g
}}

// glanceAttr starts a GETATTR, or reports that a worker has to.
func (fs *FS) glanceAttr(r *fuse.Request) bool {
	n := fs.tree.get(r.NodeID())
	if n == nil || fs.unreachable() {
		return false
	}
	fid := fs.lend(n, fs.caller(r))
	if fid == nil {
		return false
	}
	g := fs.newGlance(r, n, fid)
	fs.reach.add(g)
	fid.StartGetattr(&g.ask)
	g.started()
	g.drop()
	return true
}

// glanceName starts a LOOKUP, or reports that a worker has to.
func (fs *FS) glanceName(r *fuse.Request) bool {
	dir := fs.tree.get(r.NodeID())
	if dir == nil || len(r.Name()) > ninep.MaxName || fs.unreachable() {
		return false
	}
	name := string(r.Name())
	n := fs.tree.named(dir, name)
	if n == nil {
		return false
	}
	dirFid := fs.lend(dir, fs.caller(r))
	if dirFid == nil {
		return false
	}
	fid := fs.lend(n, fs.caller(r))
	if fid == nil {
		fs.fids.put(dirFid)
		return false
	}
	g := fs.newGlance(r, n, fid)
	g.dir, g.name, g.dirFid = dir, name, dirFid
	fid.StartLookup(&g.ask, dirFid.Fid, name)
	g.started()
	g.drop()
	return true
}

// lend returns the fid that the cache has of a node that has a name, or nil.
func (fs *FS) lend(n *node, uid uint32) *cachedFid {
	if dir, _ := fs.tree.where(n); dir == nil && n != fs.tree.root {
		return nil
	}
	return fs.fids.get(n, uid)
}

func (fs *FS) newGlance(r *fuse.Request, n *node, fid *cachedFid) *glance {
	g := glances.Get().(*glance)
	g.begin(r)
	g.ask.Owner, g.ask.Done = g, glanced
	g.fs, g.node, g.fid, g.epoch = fs, n, fid, n.now()
	return g
}

// glanced is called when the server has answered, or won't.
func glanced(ask *ninep.Glance) {
	g := ask.Owner.(*glance)
	fs := g.fs
	if g.dir == nil {
		fs.reach.remove(g)
	}
	if g.ended() {
		g.answer()
	}
	fs.fids.put(g.fid)
	if g.dirFid != nil {
		fs.fids.put(g.dirFid)
	}
	g.drop()
}

// answer gives the request its answer, or to a worker.
func (g *glance) answer() {
	fs, ask := g.fs, &g.ask
	switch {
	case ask.Err != nil || !g.node.is(ask.Attr):
	case g.dir == nil:
		fs.replyAttr(g.r, g.node, ask.Attr, g.epoch)
		return
	case ask.QID.Path == g.node.file.path && uint8(ask.QID.Type) == g.node.qidType:
		var out fuse.EntryOut
		if fs.found(acquaintance{g.node, g.epoch}, ask.Attr, g.dir, g.name, &out) == nil {
			fs.replyFound(g.r, &out)
			return
		}
	}
	if g.dir == nil {
		fs.lookers.submit(g.r)
	} else {
		fs.pool.submit(g.r)
	}
}

func (g *glance) drop() {
	if g.unused() {
		g.r, g.fs, g.node, g.fid, g.dir, g.dirFid, g.name = nil, nil, nil, nil, nil, nil, ""
		glances.Put(g)
	}
}

// interruptedLong is called when the caller of a request was interrupted and has waited for long enough.
func (g *glance) interruptedLong() {
	if g.ended() {
		g.r.ReplyError(unix.EINTR)
	}
}

// keep and unreachable are for GETATTR: see [FS.replyKnown].
func (g *glance) keep() { g.users.Add(1) }

func (g *glance) unreachable() {
	if g.ended() {
		g.fs.replyKnown(g.r, g.node)
	}
	g.drop()
}
