package ninep

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/csi-9p/csi-9p/transport"
)

const (
	maxTags    = uint32(NoTag) // tags are less than NoTag
	urgentTags = 256           // of them kept for Tflush and Tclunk
)

// link is one connection of a session, from Rversion to its loss.
type link struct {
	conn     transport.Conn
	made     time.Time
	msize    uint32
	dialect  Dialect
	zeroCopy bool // the transport's
	counters *counters
	watched  chan struct{} // closed when watch has ended
	silent   atomic.Int64  // nanoseconds for which replies have been due and none has come, as of watch's last look

	mu      sync.Mutex
	tags    numbers
	slots   []slot  // by tag
	waiting []*call // for a tag
	replies uint64  // how many came
	dead    error   // why the connection died, as soon as a call told
	failure error   // why the client ended it, for the session's status
}

// slot is what a link knows of a tag in use. The tag is free again when the call is complete and no Tflush names it.
type slot struct {
	call        *call
	serial      uint32 // tells the calls apart that use the tag one after another
	sent        bool   // the transport has it
	flushWanted bool   // flush it once it is sent
	flushing    bool   // a Tflush with this tag is under way
}

// newLink makes a link of a connection on which the two ends have agreed, and has it watched. Its owner must wait for
// its end.
func newLink(conn transport.Conn, a agreement, probeAfter time.Duration, counters *counters) *link {
	l := &link{
		conn: conn, made: time.Now(), msize: a.msize, dialect: a.dialect,
		zeroCopy: conn.Traits().ZeroCopy, counters: counters, watched: make(chan struct{}),
	}
	go l.watch(probeAfter)
	return l
}

// wait waits until the connection is dead, with every call complete and no goroutine left.
func (l *link) wait() {
	<-l.conn.Lost()
	<-l.watched
}

// submit gives the call a tag and sends it. It never blocks: without a free tag the call waits for one, and on a dead
// link its receiver is told at once.
func (l *link) submit(c *call) {
	c.prepare(l)
	l.mu.Lock()
	switch {
	case c.canceled:
		c.Err = errUnsent
	case l.dead != nil:
		c.Err, c.unsent = l.dead, true
	default:
		serial, ok := l.assign(c)
		if !ok {
			l.waiting = append(l.waiting, c)
		}
		l.mu.Unlock()
		if ok {
			l.launch(c, c.Tag, serial)
		}
		return
	}
	l.mu.Unlock()
	c.receiver.received()
}

// submitAll is submit for calls that go out in the order given, by one system call where that is to be had.
func (l *link) submitAll(calls []*call) {
	serials := make([]uint32, 0, 8)
	for _, c := range calls {
		c.prepare(l)
	}
	l.mu.Lock()
	if err := l.dead; err != nil {
		l.mu.Unlock()
		for _, c := range calls {
			c.Err, c.unsent = err, true
			c.receiver.received()
		}
		return
	}
	for _, c := range calls {
		serial, ok := l.assign(c)
		if !ok {
			break
		}
		serials = append(serials, serial)
	}
	l.waiting = append(l.waiting, calls[len(serials):]...)
	l.mu.Unlock()
	for i, serial := range serials {
		calls[i].More = i < len(serials)-1
		l.launch(calls[i], calls[i].Tag, serial)
	}
}

// assign gives the call the lowest free tag, if there is one. The caller holds l.mu.
func (l *link) assign(c *call) (serial uint32, ok bool) {
	limit := maxTags
	if !c.Urgent {
		limit -= urgentTags
	}
	tag, ok := l.tags.take(limit)
	if !ok {
		return 0, false
	}
	for len(l.slots) <= int(tag) {
		l.slots = append(l.slots, slot{})
	}
	s := &l.slots[tag]
	*s = slot{call: c, serial: s.serial + 1}
	c.Tag = uint16(tag)
	binary.LittleEndian.PutUint16(c.Head[5:], c.Tag)
	return s.serial, true
}

// launch hands the call to the transport. From then on the call may be complete and used anew by someone else, so the
// tag and its serial stand for it.
func (l *link) launch(c *call, tag uint16, serial uint32) {
	behind := transport.Call{Flow: c.Flow, Bulk: c.Bulk}
	l.conn.Submit(&c.Call)
	l.mu.Lock()
	s := &l.slots[tag]
	wanted := false
	if s.serial == serial {
		s.sent = true
		wanted = s.flushWanted
	}
	l.mu.Unlock()
	if wanted {
		// Only the call's owner can withdraw it, so it may still be queued: a Tflush like it goes behind it.
		l.flush(tag, serial, behind)
	}
}

// release takes the tag back from a completed or withdrawn call.
func (l *link) release(c *call) {
	l.mu.Lock()
	s := &l.slots[c.Tag]
	s.call = nil
	if s.flushing && errors.Is(c.Err, transport.ErrNoReply) {
		c.Err = transport.ErrForgotten // as it was asked to be
	}
	if c.Err == nil {
		l.replies++
	}
	var failed []*call
	if c.Err != nil && isConnError(c.Err) {
		l.dead = c.Err
		failed, l.waiting = l.waiting, nil
	}
	l.reuse(c.Tag)
	for _, f := range failed {
		f.Err, f.unsent = c.Err, true
		f.receiver.received()
	}
}

// reuse makes a tag free that neither a call nor a Tflush has any more, and sends the call that has waited for one, if
// any has. The caller holds l.mu, which is given back.
func (l *link) reuse(tag uint16) {
	var next *call
	var serial uint32
	if s := &l.slots[tag]; s.call == nil && !s.flushing {
		l.tags.give(uint32(tag))
		if len(l.waiting) > 0 {
			var ok bool
			if serial, ok = l.assign(l.waiting[0]); ok {
				next = l.waiting[0]
				l.waiting = slices.Delete(l.waiting, 0, 1)
			}
		}
	}
	l.mu.Unlock()
	if next != nil {
		l.launch(next, next.Tag, serial)
	}
}

// fail ends the connection because of what the server did.
func (l *link) fail(err error) {
	l.mu.Lock()
	if l.failure == nil {
		l.failure = err
	}
	l.mu.Unlock()
	_ = l.conn.Close() // the reason is kept; Lost tells the rest
}

// reason is why the link was lost.
func (l *link) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure != nil {
		return l.failure
	}
	return l.conn.Err()
}
