package ninetest

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
)

// tap is a connection that keeps count of the fids that its client has bound,
// as the server must see them, and of the highest tag used.
type tap struct {
	transport.Conn

	mu     sync.Mutex
	waits  map[*transport.Call]transport.Completer
	bound  map[ninep.FID]struct{}
	tags   map[uint16]struct{}
	maxTag uint16
}

func newTap(c transport.Conn) *tap {
	return &tap{
		Conn: c, waits: map[*transport.Call]transport.Completer{}, bound: map[ninep.FID]struct{}{},
		tags: map[uint16]struct{}{},
	}
}

// Submit implements [transport.Conn].
func (t *tap) Submit(c *transport.Call) {
	t.mu.Lock()
	t.waits[c] = c.Done
	if c.Tag != ninep.NoTag {
		t.maxTag = max(t.maxTag, c.Tag)
	}
	t.tags[c.Tag] = struct{}{}
	t.mu.Unlock()
	c.Done = t
	t.Conn.Submit(c)
}

// Withdraw implements [transport.Conn].
func (t *tap) Withdraw(c *transport.Call) bool {
	if !t.Conn.Withdraw(c) {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c.Done = t.waits[c]
	delete(t.waits, c)
	delete(t.tags, c.Tag)
	return true
}

// Complete implements [transport.Completer].
func (t *tap) Complete(c *transport.Call) {
	t.mu.Lock()
	c.Done = t.waits[c]
	delete(t.waits, c)
	delete(t.tags, c.Tag)
	if c.Err == nil {
		t.account(c)
	}
	t.mu.Unlock()
	c.Done.Complete(c)
}

// account notes what a reply did to fids. The fid that a request is about
// comes first in its body, newfid or its like behind it.
func (t *tap) account(c *transport.Call) {
	request, reply := ninep.MsgType(c.Head[4]), ninep.MsgType(c.Reply[4])
	fid := func(at int) ninep.FID { return ninep.FID(binary.LittleEndian.Uint32(c.Head[at:])) }
	switch {
	case request == ninep.TypeTclunk || request == ninep.TypeTremove:
		delete(t.bound, fid(7))
	case reply == ninep.TypeRattach:
		t.bound[fid(7)] = struct{}{}
	case reply == ninep.TypeRxattrwalk:
		t.bound[fid(11)] = struct{}{}
	case reply == ninep.TypeRwalk:
		asked, walked := binary.LittleEndian.Uint16(c.Head[15:]), binary.LittleEndian.Uint16(c.Reply[7:])
		if asked == walked {
			t.bound[fid(11)] = struct{}{}
		}
	}
}

// fids is what the client has bound.
func (t *tap) fids() []ninep.FID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.bound))
}

// busy is how many tags are in use.
func (t *tap) busy() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.tags)
}

// forgetTags begins anew to look for the highest tag.
func (t *tap) forgetTags() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.maxTag = 0
}

func (t *tap) highestTag() uint16 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.maxTag
}
