package stream

import (
	"iter"

	"github.com/csi-9p/csi-9p/transport"
)

// state is how far a call has come.
type state uint8

const (
	waiting state = iota // in the window's queues
	ready                // admitted, to be sent
	writing              // in the writer's batch
	sent                 // wholly written
	over                 // it ended while it was in the batch: the writer completes it
)

// entry is one tag's.
type entry struct {
	call  *transport.Call // nil: the tag is free
	state state
}

// table finds calls by tag. Tags are small numbers, so it is as long as the
// largest one asks for; NoTag has a place of its own.
type table struct {
	entries []entry
	noTag   entry
}

// get returns the entry of the tag's call, nil if the tag is free. It is good
// until the next put.
func (t *table) get(tag uint16) *entry {
	e := &t.noTag
	if tag != transport.NoTag {
		if int(tag) >= len(t.entries) {
			return nil
		}
		e = &t.entries[tag]
	}
	if e.call == nil {
		return nil
	}
	return e
}

// put enters call, whose tag is free, as waiting.
func (t *table) put(call *transport.Call) {
	if call.Tag == transport.NoTag {
		t.noTag = entry{call: call}
		return
	}
	if n := int(call.Tag) + 1; n > len(t.entries) {
		t.entries = append(t.entries, make([]entry, max(n, 2*len(t.entries))-len(t.entries))...)
	}
	t.entries[call.Tag] = entry{call: call}
}

// drop frees the tag of e.
func (t *table) drop(e *entry) { *e = entry{} }

// all yields the entries of calls.
func (t *table) all() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		if t.noTag.call != nil && !yield(&t.noTag) {
			return
		}
		for i := range t.entries {
			if t.entries[i].call != nil && !yield(&t.entries[i]) {
				return
			}
		}
	}
}
