package transport_test

import (
	"slices"
	"testing"

	"github.com/csi-9p/csi-9p/transport"
)

// TestTags: a call is found by its tag from Put to Drop, whatever tags come and go beside it.
func TestTags(t *testing.T) {
	var tags transport.Tags[int]
	calls := map[uint16]*transport.Call{}
	for _, tag := range []uint16{3, 0, transport.NoTag, 1000, 4} {
		if tags.Get(tag) != nil {
			t.Errorf("tag %d is in use", tag)
		}
		calls[tag] = &transport.Call{Tag: tag}
		tags.Put(calls[tag])
		tags.Get(tag).State = int(tag) + 1
	}
	for tag, call := range calls {
		if e := tags.Get(tag); e == nil || e.Call != call || e.State != int(tag)+1 {
			t.Errorf("tag %d: found %+v", tag, e)
		}
	}
	tags.Drop(tags.Get(3))
	if tags.Get(3) != nil {
		t.Error("a dropped call is still there")
	}
	tags.Put(calls[3])
	if e := tags.Get(3); e == nil || e.State != 0 {
		t.Errorf("the tag used again has what the call before it had: %+v", e)
	}
	var seen []uint16
	for e := range tags.All() {
		seen = append(seen, e.Call.Tag)
		tags.Drop(e)
	}
	slices.Sort(seen)
	if !slices.Equal(seen, []uint16{0, 3, 4, 1000, transport.NoTag}) {
		t.Errorf("all of them are %d", seen)
	}
	for range tags.All() {
		t.Error("a call is left")
	}
}
