package ninefs

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
)

// handle is the in-process side of a handleRecord.
type handle struct {
	id    uint64
	fid   *ninep.Fid // open; the handle's own
	node  *node
	flags uint32 // of open(2)
	uid   uint32 // whose fid it is; 0 where one attach serves everyone
	mode  fuse.OpenFlags
	dir   *dirStream

	prefetch atomic.Pointer[prefetch] // what was read with the open; nil: nothing
	asked    atomic.Bool              // there was a READ

	locks map[lockOwner]struct{} // who took locks through it; guarded by handles.mu
}

func (h *handle) writable() bool { return h.flags&unix.O_ACCMODE != unix.O_RDONLY }

// handles is the open files and directories of a mount.
type handles struct {
	tree  *tree
	mu    sync.RWMutex
	table *Table[handleRecord]
	list  []*handle // by index
}

func newHandles(tree *tree) (*handles, error) {
	table, err := NewTable[handleRecord]("csi-9p-handles", maxHandles)
	if err != nil {
		return nil, err
	}
	return &handles{tree: tree, table: table}, nil
}

// add makes a handle that was made of an open fid known to the kernel, and gives it its id. The node stays at least as long.
func (s *handles) add(h *handle) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, rec, err := s.table.Alloc()
	if err != nil {
		return unix.ENFILE
	}
	n := h.node
	*rec = handleRecord{Node: n.id, Flags: h.flags, UID: h.uid, Mode: uint32(h.mode)}
	h.id = id
	for int(indexOf(id)) >= len(s.list) {
		s.list = append(s.list, nil)
	}
	s.list[indexOf(id)] = h
	n.opened = append(n.opened, h)
	s.tree.hold(n)
	return nil
}

// get returns the handle of an id, or nil.
func (s *handles) get(id uint64) *handle {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if i := indexOf(id); int(i) < len(s.list) && s.list[i] != nil && s.list[i].id == id {
		return s.list[i]
	}
	return nil
}

// of returns an open handle of a node, one for writing if there is one, or nil.
func (s *handles) of(n *node) *handle { return s.pick(n, func(*handle) bool { return true }) }

// by is of for the handles of one user, in whose name the server carries out what is done through them.
func (s *handles) by(n *node, uid uint32) *handle {
	return s.pick(n, func(h *handle) bool { return h.uid == uid })
}

func (s *handles) pick(n *node, suits func(*handle) bool) *handle {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var found *handle
	for _, h := range n.opened {
		if !suits(h) {
			continue
		}
		if found = h; h.writable() {
			break
		}
	}
	return found
}

// cached reports whether a node is open through the page cache.
func (s *handles) cached(n *node) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.ContainsFunc(n.opened, func(h *handle) bool { return h.mode&fuse.OpenDirectIO == 0 })
}

// locked records that an owner took a lock through a handle.
func (s *handles) locked(h *handle, owner lockOwner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.locks == nil {
		h.locks = map[lockOwner]struct{}{}
	}
	h.locks[owner] = struct{}{}
}

// unlocked records that an owner has no locks on a node any more.
func (s *handles) unlocked(n *node, owner lockOwner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range n.opened {
		delete(h.locks, owner)
	}
}

// lockers returns who took locks through a handle.
func (s *handles) lockers(h *handle) []lockOwner {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Keys(h.locks))
}

// lockedBy returns the open handles of a node that an owner took locks through: some servers bind locks to the fid.
func (s *handles) lockedBy(n *node, owner lockOwner) []*handle {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var via []*handle
	for _, h := range n.opened {
		if _, ok := h.locks[owner]; ok {
			via = append(via, h)
		}
	}
	return via
}

// remove ends a handle. Its fid is the caller's.
func (s *handles) remove(h *handle) {
	s.mu.Lock()
	h.node.opened = slices.DeleteFunc(h.node.opened, func(o *handle) bool { return o == h })
	s.list[indexOf(h.id)] = nil
	s.table.Free(h.id)
	s.mu.Unlock()
	s.tree.unhold(h.node)
}

// all returns every handle.
func (s *handles) all() []*handle {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []*handle
	for _, h := range s.list {
		if h != nil {
			all = append(all, h)
		}
	}
	return all
}

func (s *handles) close() error { return s.table.Close() }
