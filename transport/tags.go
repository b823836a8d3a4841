package transport

import "iter"

// Tags finds the calls that a connection has by their tags. Tags are small
// numbers, so it is as long as the largest one asks for; NoTag has a place of its
// own. It is for implementers of Conn. The zero Tags is empty. It is not safe
// for concurrent use.
type Tags[S any] struct {
	entries []Tagged[S]
	noTag   Tagged[S]
}

// Tagged is one tag's call and how far the connection is with it.
type Tagged[S any] struct {
	Call  *Call // nil: the tag is free
	State S
}

// Get returns the entry of the tag's call, nil if the tag is free. It is good
// until the next Put.
func (t *Tags[S]) Get(tag uint16) *Tagged[S] {
	e := &t.noTag
	if tag != NoTag {
		if int(tag) >= len(t.entries) {
			return nil
		}
		e = &t.entries[tag]
	}
	if e.Call == nil {
		return nil
	}
	return e
}

// Put enters a call, whose tag is free, with the zero state.
func (t *Tags[S]) Put(c *Call) {
	if c.Tag == NoTag {
		t.noTag = Tagged[S]{Call: c}
		return
	}
	if n := int(c.Tag) + 1; n > len(t.entries) {
		t.entries = append(t.entries, make([]Tagged[S], max(n, 2*len(t.entries))-len(t.entries))...)
	}
	t.entries[c.Tag] = Tagged[S]{Call: c}
}

// Drop frees the tag of e.
func (t *Tags[S]) Drop(e *Tagged[S]) { *e = Tagged[S]{} }

// All yields the entries of all calls. Each may be dropped when it comes.
func (t *Tags[S]) All() iter.Seq[*Tagged[S]] {
	return func(yield func(*Tagged[S]) bool) {
		if t.noTag.Call != nil && !yield(&t.noTag) {
			return
		}
		for i := range t.entries {
			if t.entries[i].Call != nil && !yield(&t.entries[i]) {
				return
			}
		}
	}
}
