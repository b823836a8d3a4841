package ninep_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
)

// hoard is a direct connection that keeps its reads until it is told to answer them.
type hoard struct {
	direct
	mu    sync.Mutex
	calls []*transport.Call
	tags  map[uint16]bool
	t     *testing.T
}

func (h *hoard) Submit(c *transport.Call) {
	if ninep.MsgType(c.Head[4]) != ninep.TypeTread {
		h.direct.Submit(c)
		return
	}
	h.mu.Lock()
	if h.tags[c.Tag] {
		h.t.Errorf("tag %d is in use twice", c.Tag)
	}
	h.tags[c.Tag] = true
	h.calls = append(h.calls, c)
	h.mu.Unlock()
}

// answer answers the reads held, and returns how many they were.
func (h *hoard) answer() int {
	h.mu.Lock()
	calls := h.calls
	h.calls = nil
	clear(h.tags)
	h.mu.Unlock()
	for _, c := range slices.Backward(calls) {
		h.direct.Submit(c)
	}
	return len(calls)
}

// TestMoreCallsThanTags: calls beyond the last tag wait for one, those that are cancelled meanwhile end at once, and
// urgent messages still have tags.
func TestMoreCallsThanTags(t *testing.T) {
	h := &hoard{direct: direct{msize: 64 << 10, lost: make(chan struct{})}, tags: map[uint16]bool{}, t: t}
	s, err := ninep.Open(testContext(t), ninep.Config{Dial: func(context.Context) (transport.Conn, error) { return h, nil }})
	ok(t, err)
	defer s.Close()
	f := must(s.Attach(testContext(t), ninep.AttachOptions{}))(t)
	const calls = 70000
	var done atomic.Int64
	ios := make([]ninep.IO, calls)
	for i := range ios {
		ios[i].Buf = make([]byte, 1)
		ios[i].Done = func(*ninep.IO) { done.Add(1) }
		f.StartRead(&ios[i])
	}
	if n := len(h.calls); n >= 65535 || n < 60000 {
		t.Fatalf("%d calls given to the transport", n)
	}
	last := &ios[calls-1]
	last.Cancel()
	if done.Load() != 1 || last.N != 0 || last.Err == nil {
		t.Errorf("the call that waits for a tag, cancelled: %d done, %v", done.Load(), last.Err)
	}
	for h.answer() > 0 {
	}
	if n := done.Load(); n != calls {
		t.Errorf("%d of %d calls done", n, calls)
	}
	for i := range ios[:calls-1] {
		if ios[i].Err != nil || ios[i].N != 1 {
			t.Fatalf("call %d: %d, %v", i, ios[i].N, ios[i].Err)
		}
	}
}

// overtaken is a direct connection on which a read is cancelled while it is being submitted.
type overtaken struct {
	direct
	during func()
	order  []ninep.MsgType
	urgent bool
	read   *transport.Call
}

func (o *overtaken) Submit(c *transport.Call) {
	switch kind := ninep.MsgType(c.Head[4]); kind {
	case ninep.TypeTread:
		o.during()
		o.order = append(o.order, kind)
		o.read = c
		return
	case ninep.TypeTflush:
		o.order = append(o.order, kind)
		o.urgent = c.Urgent
	}
	o.direct.Submit(c)
}

func (o *overtaken) Forget(uint16) {
	o.read.Err = transport.ErrForgotten
	o.read.Done.Complete(o.read)
}

// TestFlushDoesNotOvertake: a Tflush that passed the message it means would be answered before the server has
// seen that, and the reply to come would have no taker.
func TestFlushDoesNotOvertake(t *testing.T) {
	o := &overtaken{direct: direct{msize: 64 << 10, lost: make(chan struct{})}}
	s, err := ninep.Open(testContext(t), ninep.Config{Dial: func(context.Context) (transport.Conn, error) { return o, nil }})
	ok(t, err)
	defer s.Close()
	f := must(s.Attach(testContext(t), ninep.AttachOptions{}))(t)
	done := 0
	io := &ninep.IO{Buf: make([]byte, 100), Done: func(*ninep.IO) { done++ }}
	o.during = io.Cancel
	f.StartRead(io)
	if !slices.Equal(o.order, []ninep.MsgType{ninep.TypeTread, ninep.TypeTflush}) || o.urgent {
		t.Errorf("sent %v, Tflush urgent: %v", o.order, o.urgent)
	}
	cancelled(t, io.Err)
	if done != 1 {
		t.Errorf("Done was called %d times", done)
	}
}
