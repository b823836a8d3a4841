package ninep

import (
	"encoding/binary"
	"slices"

	"github.com/csi-9p/csi-9p/transport"
)

// flush is a Tflush on its way.
type flush struct {
	call
	head  [HeaderSize + 2]byte
	reply [32]byte
	tag   uint16 // the one that rests until Rflush
}

// cancel asks for an early end of a call, which its owner must not use for anything else meanwhile. True: the call
// was not sent, its receiver will not be told. False: the receiver is told as for every call, the sooner
// because of a Tflush where one is of use.
func (l *link) cancel(c *call) bool {
	l.mu.Lock()
	if i := slices.Index(l.waiting, c); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
		l.mu.Unlock()
		return true
	}
	var s *slot
	if int(c.Tag) < len(l.slots) && l.slots[c.Tag].call == c {
		s = &l.slots[c.Tag]
	}
	if s == nil || !s.sent {
		c.canceled = true
		if s != nil {
			s.flushWanted = true
		}
		l.mu.Unlock()
		return false
	}
	tag, serial := c.Tag, s.serial
	l.mu.Unlock()
	if l.conn.Withdraw(&c.Call) {
		c.Err = errUnsent // which is no reply
		l.release(c)
		return true
	}
	l.flush(tag, serial, transport.Call{Urgent: true})
	return false
}

// flush sends a Tflush, queued as the call given, for the one that has the tag under that serial, unless that is
// complete or flushed already.
func (l *link) flush(tag uint16, serial uint32, as transport.Call) {
	l.mu.Lock()
	s := &l.slots[tag]
	if s.call == nil || s.serial != serial || s.flushing {
		l.mu.Unlock()
		return
	}
	s.flushing = true
	l.mu.Unlock()

	f := &flush{call: call{Call: as}, tag: tag}
	f.receiver = f
	binary.LittleEndian.PutUint32(f.head[:], uint32(len(f.head)))
	f.head[4] = byte(TypeTflush)
	binary.LittleEndian.PutUint16(f.head[HeaderSize:], tag)
	f.Head, f.Reply = f.head[:], l.errorRoom(f.reply[:])
	l.submit(&f.call)
}

// received ends the rest of the flushed tag. If the call is still without a reply there will be none: flush(5) lets a
// server answer the original before Rflush, and then the answer counts, or not at all.
func (f *flush) received() {
	l := f.link
	_, err := f.answer()
	if isLost(err) {
		return
	}
	if err == nil {
		l.conn.Forget(f.tag)
	}
	l.mu.Lock()
	l.slots[f.tag].flushing = false
	l.reuse(f.tag)
}
