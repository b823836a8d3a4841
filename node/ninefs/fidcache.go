package ninefs

import (
	"container/list"
	"slices"
	"sync"

	"github.com/csi-9p/csi-9p/ninep"
)

// FidCache keeps the fids of nodes, so that an operation on a node need not walk to it first. It is bounded: servers limit
// fids, and a fid holds a file or a path on the server. The least recently used is given up first; its node is walked to again
// when needed. The mounts of one session share one, because the server's limit is the session's: what one of them needs, those
// that are idle give up. It is safe for concurrent use.
type FidCache struct {
	mu       sync.Mutex
	bound    int
	halvings int
	used     list.List    // of *cachedFid, the most recently used first; none that is kept
	ended    []*ninep.Fid // to be dropped without mu, because that sends a message
}

// DefaultMaxFids is how many fids a mount keeps that shares its cache with no other.
const DefaultMaxFids = 8192

// NewFidCache makes an empty cache of at most bound fids. Each open file has one of its own beside them.
func NewFidCache(bound int) *FidCache { return &FidCache{bound: bound} }

// unlock gives up the fids that came to their end under the lock.
func (c *FidCache) unlock() {
	ended := c.ended
	c.ended = nil
	c.mu.Unlock()
	for _, f := range ended {
		f.Drop()
	}
}

// cachedFid is a fid on loan from the cache: give it back with [FidCache.put].
type cachedFid struct {
	*ninep.Fid
	node  *node
	uid   uint32 // whom the server takes it for; 0 where one attach serves everyone
	users int
	gone  bool          // out of the cache: the last user drops it
	elem  *list.Element // nil while it is kept
}

// get lends the fid of a node, or returns nil.
func (c *FidCache) get(n *node, uid uint32) *cachedFid {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := n.fid(uid)
	if f == nil {
		return nil
	}
	f.users++
	if f.elem != nil {
		c.used.MoveToFront(f.elem)
	}
	return f
}

// has reports whether get would lend a fid.
func (c *FidCache) has(n *node, uid uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return n.fid(uid) != nil
}

// claim gives the fid of a node away, or returns nil if it is on loan, or there is none.
func (c *FidCache) claim(n *node, uid uint32) *ninep.Fid {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := n.fid(uid)
	if f == nil || f.users > 0 || f.elem == nil {
		return nil
	}
	f.users++ // or remove would end it
	c.remove(f)
	return f.Fid
}

// add takes over a fid of a node and lends it. A fid that the cache had of the node makes way. Of a node that has ended
// meanwhile none is kept.
func (c *FidCache) add(n *node, uid uint32, fid *ninep.Fid) *cachedFid {
	c.mu.Lock()
	defer c.unlock()
	if old := n.fid(uid); old != nil {
		c.remove(old)
	}
	f := &cachedFid{Fid: fid, node: n, uid: uid, users: 1, gone: n.ended}
	if n.ended {
		return f
	}
	n.fids = append(n.fids, f)
	f.elem = c.used.PushFront(f)
	c.trim()
	return f
}

// put gives back what get or add lent.
func (c *FidCache) put(f *cachedFid) {
	c.mu.Lock()
	defer c.unlock()
	f.users--
	if f.gone && f.users == 0 {
		c.ended = append(c.ended, f.Fid)
	}
}

// discard gives up a fid that turned out to be of no use. Its loan goes on.
func (c *FidCache) discard(f *cachedFid) {
	c.mu.Lock()
	defer c.unlock()
	c.remove(f)
}

// keep exempts the fids of a node from being given up: there is no name to walk to it by.
func (c *FidCache) keep(n *node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range n.fids {
		if f.elem != nil {
			c.used.Remove(f.elem)
			f.elem = nil
		}
	}
}

// forget gives up all fids of a node.
func (c *FidCache) forget(n *node) {
	c.mu.Lock()
	defer c.unlock()
	for len(n.fids) > 0 {
		c.remove(n.fids[0])
	}
}

// end gives up all fids of a node, those that are still to come included.
func (c *FidCache) end(n *node) {
	c.mu.Lock()
	n.ended = true
	c.mu.Unlock()
	c.forget(n)
}

// take removes the fids of a node, none of which is on loan, for the caller to give back.
func (c *FidCache) take(n *node) (fids []*ninep.Fid) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range n.fids {
		if f.gone = true; f.elem != nil {
			c.used.Remove(f.elem)
		}
		fids = append(fids, f.Fid)
	}
	n.fids = nil
	return fids
}

// nodes returns the nodes that the cache has fids of, but for those kept.
func (c *FidCache) nodes() []*node {
	c.mu.Lock()
	defer c.mu.Unlock()
	nodes := make([]*node, 0, c.used.Len())
	for e := c.used.Front(); e != nil; e = e.Next() {
		nodes = append(nodes, e.Value.(*cachedFid).node)
	}
	return nodes
}

// round tells the time before a halving from the time after it.
func (c *FidCache) round() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.halvings
}

// halve gives up half of the fids because the server had no more in this round, unless someone else has done so since: when
// many meet the limit at once, one halving is enough. It reports whether there is room now.
func (c *FidCache) halve(round int) bool {
	c.mu.Lock()
	defer c.unlock()
	if c.halvings != round {
		return true
	}
	before := c.used.Len()
	c.bound = max(before/2, 1)
	c.trim()
	if c.used.Len() == before {
		return false
	}
	c.halvings++
	return true
}

// trim gives up what is over the bound and not on loan.
func (c *FidCache) trim() {
	for e := c.used.Back(); e != nil && c.used.Len() > c.bound; {
		f := e.Value.(*cachedFid)
		e = e.Prev()
		if f.users == 0 {
			c.remove(f)
		}
	}
}

func (c *FidCache) remove(f *cachedFid) {
	if f.gone {
		return
	}
	f.gone = true
	f.node.fids = slices.DeleteFunc(f.node.fids, func(o *cachedFid) bool { return o == f })
	if f.elem != nil {
		c.used.Remove(f.elem)
		f.elem = nil
	}
	if f.users == 0 {
		c.ended = append(c.ended, f.Fid)
	}
}

// fid returns the node's fid of a user, or nil; FidCache.mu is held.
func (n *node) fid(uid uint32) *cachedFid {
	for _, f := range n.fids {
		if f.uid == uid {
			return f
		}
	}
	return nil
}
