package ninep

import (
	"slices"
	"strings"
	"sync"
)

// tree knows where the files are that fids are bound to, so that they can be found again after a reconnect. Fids share
// places, and Rename and Unlink change them for all fids below. It knows nothing of what other clients rename.
type tree struct {
	mu    sync.Mutex
	roots map[string]*place // by aname
}

// place is a name in a directory. It lives as long as a fid or a place below refers to it.
type place struct {
	parent   *place // nil: the root of an attach, or a name that is gone
	name     string // of a root: its aname
	refs     int
	children map[string]*place
	gone     bool // removed, or replaced by a rename

	// While a rename of it is under way, where it goes: after a lost connection it is there or here.
	movesTo   *place
	movesName string
}

// root returns the root of a tree, with a reference.
func (t *tree) root(aname string) *place {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.roots[aname]
	if p == nil {
		if t.roots == nil {
			t.roots = map[string]*place{}
		}
		p = &place{name: aname}
		t.roots[aname] = p
	}
	p.refs++
	return p
}

// walk returns the place that the names lead to from p, with a reference.
func (t *tree) walk(p *place, names []string) *place {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range names {
		p = p.child(name)
	}
	p.refs++
	return p
}

// child returns a child of p, which is made if need be. It may be without references only while t.mu is held.
func (p *place) child(name string) *place {
	c := p.children[name]
	if c == nil {
		c = &place{}
		c.attach(p, name)
	}
	return c
}

// attach puts p into a directory.
func (p *place) attach(dir *place, name string) {
	if dir.children == nil {
		dir.children = map[string]*place{}
	}
	dir.children[name] = p
	dir.refs++
	p.parent, p.name = dir, name
}

// detach takes p out of its directory.
func (p *place) detach() *place {
	parent := p.parent
	delete(parent.children, p.name)
	p.parent = nil
	return parent
}

// drop gives a reference back.
func (t *tree) drop(p *place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unref(p)
}

func (t *tree) unref(p *place) {
	for p.refs--; p.refs == 0; p.refs-- {
		if p.parent == nil {
			if t.roots[p.name] == p {
				delete(t.roots, p.name)
			}
			return
		}
		p = p.detach()
	}
}

// remove records that a name of the directory is gone.
func (t *tree) remove(dir *place, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removeChild(dir, name)
}

func (t *tree) removeChild(dir *place, name string) {
	if c := dir.children[name]; c != nil {
		c.gone = true
		t.unref(c.detach())
	}
}

// moving records that a rename is about to be sent, until the function that it returns is called.
func (t *tree) moving(oldDir *place, oldName string, newDir *place, newName string) (end func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := oldDir.child(oldName)
	c.movesTo, c.movesName = newDir, newName
	c.refs++
	newDir.refs++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		c.movesTo, c.movesName = nil, ""
		t.unref(c)
		t.unref(newDir)
	}
}

// move records that a name has moved, over what was there.
func (t *tree) move(oldDir *place, oldName string, newDir *place, newName string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := oldDir.children[oldName]
	if c == nil {
		t.removeChild(newDir, newName)
		return
	}
	if newDir.children[newName] == c {
		return
	}
	t.removeChild(newDir, newName)
	t.unref(c.detach())
	c.attach(newDir, newName)
}

// names returns the names that lead to p from its root, as they are and as they will be when every rename under way
// is done. The two are equal if there is none. ok is false if the name is gone.
func (t *tree) names(p *place) (now, then []string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, ok = p.names(false)
	then, _ = p.names(true)
	return now, then, ok
}

// maxDepth bounds a walk towards the root: of renames under way two may make a loop of one another.
const maxDepth = 4096

func (p *place) names(then bool) (names []string, ok bool) {
	for range maxDepth {
		switch {
		case p.gone:
			return nil, false
		case then && p.movesTo != nil:
			names = append(names, p.movesName)
			p = p.movesTo
		case p.parent == nil:
			slices.Reverse(names)
			return names, true
		default:
			names = append(names, p.name)
			p = p.parent
		}
	}
	return nil, false
}

// path is the path of p for messages.
func (t *tree) path(p *place) string {
	now, _, ok := t.names(p)
	if !ok {
		return "(removed)"
	}
	return "/" + strings.Join(now, "/")
}

// removePlace records that the file of this place was removed.
func (t *tree) removePlace(p *place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p != nil && p.parent != nil {
		t.removeChild(p.parent, p.name)
	}
}

// isIn reports whether p is a name of the directory.
func (t *tree) isIn(p, dir *place) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return p != nil && p.parent == dir
}
