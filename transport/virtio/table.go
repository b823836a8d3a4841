package virtio

import "github.com/csi-9p/csi-9p/transport"

// entry is one tag's.
type entry struct {
	call      *transport.Call // nil: the tag is free
	slot      *slot           // nil: it waits in the window, or was returned
	forgotten bool            // there will be no reply
	returned  bool            // the device has handed it back without one
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

// empty takes all calls out.
func (t *table) empty() (calls []*transport.Call) {
	for _, e := range append(t.entries, t.noTag) {
		if e.call != nil {
			calls = append(calls, e.call)
		}
	}
	t.entries, t.noTag = nil, entry{}
	return calls
}
