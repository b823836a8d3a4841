package ninefs

import (
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// node is the in-process side of a nodeRecord.
type node struct {
	id      uint64
	file    fileKey
	lockKey lockKey
	qidType uint8
	// rec is another node's once this one has ended. Names and counts are guarded by tree.mu, the rest by content.mu.
	rec *nodeRecord

	// Guarded by tree.mu.
	same   *node   // the next node of one fileKey
	places []place // where it was seen, the latest last, which rec has too: more than one if it has several names
	holds  int     // reasons besides the kernel's to keep the node
	links  uint64  // st_nlink as the server last told

	content content
	caps    absence
	fids    []*cachedFid // guarded by FidCache.mu, as ended
	ended   bool
	opened  []*handle // guarded by handles.mu
}

// mostPlaces bounds how many names of a file are kept in mind.
const mostPlaces = 8

// place is where a node was seen.
type place struct {
	dir  uint32 // index of the directory's node
	name string
}

// tree is the nodes of a mount by id, by file and by name. A node lives as long as the kernel knows its id, a child needs it
// for its path, or it is held.
type tree struct {
	mu      sync.RWMutex
	table   *Table[nodeRecord]
	nodes   []*node // by index
	byKey   map[fileKey]*node
	byPlace map[place]*node
	root    *node
	gone    func(*node) // told of each node that ended
	ended   []*node     // to be told of, without mu: that sends messages, and whoever does may be given others' replies
}

// newTree makes a tree of nothing but its root.
func newTree(root ninep.Attr, gone func(*node)) (*tree, error) {
	table, err := NewTable[nodeRecord]("csi-9p-nodes", maxNodes)
	if err != nil {
		return nil, err
	}
	t := &tree{table: table, byKey: map[fileKey]*node{}, byPlace: map[place]*node{}, gone: gone}
	if t.root, err = t.add(root, false); err != nil {
		return nil, errors.Join(err, table.Close())
	}
	t.root.holds = 1
	return t, nil
}

func (t *tree) close() error { return t.table.Close() }

// get returns the node of an id, or nil.
func (t *tree) get(id uint64) *node {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.find(id)
}

func (t *tree) find(id uint64) *node {
	if i := indexOf(id); int(i) < len(t.nodes) && t.nodes[i] != nil && t.nodes[i].id == id {
		return t.nodes[i]
	}
	return nil
}

// add makes a node without a name. twin: it is not the file whose number it shares, and must not look like it to whoever
// compares inode numbers.
func (t *tree) add(a ninep.Attr, twin bool) (*node, error) {
	if !hasType(a.Mode) {
		return nil, unix.EIO
	}
	id, rec, err := t.table.Alloc()
	if err != nil {
		return nil, unix.ENOMEM
	}
	key := keyOf(a)
	n := &node{id: id, file: key, lockKey: lockKey{file: key}, qidType: uint8(a.QID.Type), rec: rec, links: a.Nlink}
	rec.Path, rec.QIDType, rec.Format, rec.Ino = a.QID.Path, uint8(a.QID.Type), a.Mode&unix.S_IFMT, a.QID.Path
	rec.setStamp(stampOf(a))
	n.content.attr, n.content.seen, n.content.since = a, stampOf(a), time.Now()
	n.content.mtime = a.Mtime
	if twin {
		rec.Ino, n.lockKey.twin = id|1<<63, n
	}
	n.same = t.byKey[key]
	t.byKey[key] = n
	for int(indexOf(id)) >= len(t.nodes) {
		t.nodes = append(t.nodes, nil)
	}
	t.nodes[indexOf(id)] = n
	return n, nil
}

// unlock gives mu back and tells of the nodes that came to their end.
func (t *tree) unlock() {
	ended := t.ended
	t.ended = nil
	t.mu.Unlock()
	for _, n := range ended {
		t.gone(n)
	}
}

// hold keeps a node until unhold.
func (t *tree) hold(n *node) {
	t.mu.Lock()
	defer t.unlock()
	n.holds++
}

func (t *tree) unhold(n *node) {
	t.mu.Lock()
	defer t.unlock()
	n.holds--
	t.end(n)
}

// forget takes back count lookups of a node.
func (t *tree) forget(id, count uint64) {
	t.mu.Lock()
	defer t.unlock()
	n := t.find(id)
	if n == nil || n == t.root {
		return
	}
	n.rec.Lookups -= min(count, n.rec.Lookups)
	t.end(n)
}

// end removes a node that nothing needs, and then its directory if that was only needed for this one.
func (t *tree) end(n *node) {
	for n != nil && n.rec.Lookups == 0 && n.rec.Children == 0 && n.holds == 0 {
		dir := t.leave(n)
		t.disown(n)
		t.nodes[indexOf(n.id)] = nil
		t.ended = append(t.ended, n)
		t.table.Free(n.id)
		n = dir
	}
}

// drop takes one name of a node away and returns the directory that it was in, nil if the node did not have it. The caller ends
// the directory.
func (t *tree) drop(n *node, p place) *node {
	i := slices.Index(n.places, p)
	if i < 0 {
		return nil
	}
	n.places = slices.Delete(n.places, i, i+1)
	delete(t.byPlace, p)
	n.recordPlace()
	dir := t.nodes[p.dir]
	dir.rec.Children--
	return dir
}

// leave takes all names of a node away and returns the directory that it was in last. The caller ends the directory.
func (t *tree) leave(n *node) (dir *node) {
	for len(n.places) > 0 {
		t.end(dir)
		dir = t.drop(n, n.places[0])
	}
	return dir
}

// recordPlace notes in the node's record where it was last seen.
func (n *node) recordPlace() {
	n.rec.Parent, n.rec.NameLen = 0, 0
	if len(n.places) > 0 {
		last := n.places[len(n.places)-1]
		n.rec.Parent = last.dir
		n.rec.setName(last.name)
	}
}

// settle names a node; whoever had the name before loses it. A file with several names keeps those that it was seen under.
func (t *tree) settle(n, dir *node, name string) {
	p := place{indexOf(dir.id), name}
	if len(n.places) == 1 && n.places[0] == p {
		return
	}
	dir.rec.Children++
	if t.below(dir, n) {
		// Someone else turned the two round: where dir was is not known any more.
		defer t.end(t.leave(dir))
	}
	if old := t.byPlace[p]; old != nil {
		defer t.end(t.drop(old, p))
		if old != n {
			defer t.end(old)
		}
	}
	switch {
	case n.rec.isDir() || n.links <= 1:
		defer t.end(t.leave(n))
	case len(n.places) == mostPlaces:
		defer t.end(t.drop(n, n.places[0]))
	}
	n.places = append(n.places, p)
	t.byPlace[p] = n
	n.recordPlace()
}

// disown lets no file found from now on be this node.
func (t *tree) disown(n *node) {
	key := n.file
	head := t.byKey[key]
	if head == n {
		head = n.same
	}
	for p := head; p != nil; p = p.same {
		if p.same == n {
			p.same = n.same
		}
	}
	if n.same = nil; head == nil {
		delete(t.byKey, key)
	} else {
		t.byKey[key] = head
	}
}

// bury takes a removed name from a node, and ends its identity if that was the last one: the server may give its number to
// a new file. nameless is told of a node that has no other name to be found by.
func (t *tree) bury(n *node, p place, nameless func(*node)) {
	dir := t.drop(n, p)
	if n.rec.isDir() || n.links <= 1 {
		t.end(t.leave(n))
		t.disown(n)
	} else {
		n.links--
	}
	if len(n.places) == 0 {
		nameless(n)
	}
	t.end(n)
	t.end(dir)
}

// suspect returns, held, a node that looks like the file found at (dir, name) but was last seen elsewhere, although the file
// claims to have one name only. It either moved there or is another file of a server whose numbers collide. Nodes among not
// are known to be other files.
func (t *tree) suspect(a ninep.Attr, dir *node, name string, not []*node) *node {
	t.mu.Lock()
	defer t.unlock()
	if !t.singular(a) || t.at(a, dir, name) != nil {
		return nil
	}
	for n := t.byKey[keyOf(a)]; n != nil; n = n.same {
		if (n == t.root || n.rec.Parent != 0) && !slices.Contains(not, n) {
			n.holds++
			return n
		}
	}
	return nil
}

// singular reports whether a file can have one name only.
func (t *tree) singular(a ninep.Attr) bool { return a.Mode&unix.S_IFMT == unix.S_IFDIR || a.Nlink <= 1 }

// at returns the node at a place, if it can be the file found there.
func (t *tree) at(a ninep.Attr, dir *node, name string) *node {
	if n := t.byPlace[place{indexOf(dir.id), name}]; n != nil && n.is(a) {
		return n
	}
	return nil
}

func (n *node) is(a ninep.Attr) bool { return n.file == keyOf(a) }

// enter returns the node of a file found at (dir, name), with one lookup more, and makes it where there is none. twins are
// nodes that it can't be.
func (t *tree) enter(a ninep.Attr, dir *node, name string, twins []*node) (n *node, err error) {
	t.mu.Lock()
	defer t.unlock()
	if n = t.at(a, dir, name); n == nil {
		for n = t.byKey[keyOf(a)]; n != nil && (n == dir || n == t.root || slices.Contains(twins, n)); n = n.same {
		}
	}
	if n == nil {
		if n, err = t.add(a, len(twins) > 0); err != nil {
			return nil, err
		}
	}
	n.links = a.Nlink
	n.rec.Lookups++
	t.settle(n, dir, name)
	return n, nil
}

// create returns a new node, with one lookup, for a file just made at (dir, name). A node of the same number is of a file
// that is gone, or of another device.
func (t *tree) create(a ninep.Attr, dir *node, name string) (*node, error) {
	t.mu.Lock()
	defer t.unlock()
	n, err := t.add(a, false)
	if err != nil {
		return nil, err
	}
	n.rec.Lookups++
	n.content.written = true // its owner, too, was given to it by this mount
	t.settle(n, dir, name)
	return n, nil
}

// counted takes in how many names a node has.
func (t *tree) counted(n *node, links uint64) {
	t.mu.Lock()
	defer t.unlock()
	n.links = links
}

// linked follows the making of another name of a node, which gives the kernel one lookup more.
func (t *tree) linked(n *node, a ninep.Attr, dir *node, name string) {
	t.mu.Lock()
	defer t.unlock()
	n.links = a.Nlink
	n.rec.Lookups++
	t.settle(n, dir, name)
}

// moved follows a rename and returns the node that was moved, if there is one. What was at the new place is gone from it;
// nameless is told of it if it has no other.
func (t *tree) moved(oldDir *node, oldName string, newDir *node, newName string, nameless func(*node)) *node {
	t.mu.Lock()
	defer t.unlock()
	from, to := place{indexOf(oldDir.id), oldName}, place{indexOf(newDir.id), newName}
	n, old := t.byPlace[from], t.byPlace[to]
	switch {
	case old == nil:
	case old == n:
		return nil // two names of one file: rename(2) does nothing
	case n == nil && old.links > 1:
		// Perhaps the two names are of one file: it is found again by either.
		dir := t.drop(old, to)
		t.end(old)
		t.end(dir)
	default:
		t.bury(old, to, nameless)
	}
	if n != nil {
		dir := t.drop(n, from)
		t.settle(n, newDir, newName)
		t.end(dir)
	}
	return n
}

// removed follows the removal of a name; nameless is told of the node that had it, if it has no other.
func (t *tree) removed(dir *node, name string, nameless func(*node)) {
	t.mu.Lock()
	defer t.unlock()
	p := place{indexOf(dir.id), name}
	if n := t.byPlace[p]; n != nil {
		t.bury(n, p, nameless)
	}
}

// retire makes whoever looks a node's file up from now on find another node. nameless is told of it.
func (t *tree) retire(n *node, nameless func(*node)) {
	t.mu.Lock()
	defer t.unlock()
	if t.find(n.id) != n {
		return
	}
	dir := t.leave(n)
	t.disown(n)
	nameless(n)
	t.end(n)
	t.end(dir)
}

// strayed is told that a node is not at a place, and reports whether it has another name to be looked for by.
func (t *tree) strayed(n *node, p place) bool {
	t.mu.Lock()
	defer t.unlock()
	if t.find(n.id) != n || len(n.places) < 2 {
		return false
	}
	dir := t.drop(n, p)
	t.end(dir)
	return dir != nil
}

// named returns the node last seen at a place, or nil.
func (t *tree) named(dir *node, name string) *node {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byPlace[place{indexOf(dir.id), name}]
}

// where returns a node's directory and name; nil for one whose name is not known or that has ended, and for the root.
func (t *tree) where(n *node) (dir *node, name string) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.find(n.id) != n || n.rec.Parent == 0 {
		return nil, ""
	}
	return t.nodes[n.rec.Parent], n.rec.name()
}

// each calls f with every node.
func (t *tree) each(f func(*node)) {
	t.mu.Lock()
	defer t.unlock()
	for _, n := range t.nodes {
		if n != nil {
			f(n)
		}
	}
}

// under reports whether a node is top or somewhere below it.
func (t *tree) under(n, top *node) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.below(n, top)
}

func (t *tree) below(n, top *node) bool {
	for n != top {
		if t.find(n.id) != n || n.rec.Parent == 0 {
			return false
		}
		n = t.nodes[n.rec.Parent]
	}
	return true
}
