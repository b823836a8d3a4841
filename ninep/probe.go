package ninep

import (
	"encoding/binary"
	"fmt"
	"time"
)

// DefaultProbeAfter is Config.ProbeAfter's default.
const DefaultProbeAfter = 2500 * time.Millisecond

// How many looks at a link that brings no reply, though one is due, lead to a probe, and to giving it up. Looks are
// counted, not time: a client that was stopped itself has not waited for the server meanwhile.
const (
	probeLook  = 1
	frozenLook = 16
)

// silence is how many looks in succession found that replies were due and none had come.
type silence struct {
	due     bool
	replies uint64
	looks   int
}

// look takes the state of the link in, and returns the silence.
func (s *silence) look(replies uint64, due bool) int {
	s.looks++
	if !due || !s.due || replies != s.replies {
		s.looks = 0
	}
	s.due, s.replies = due, replies
	return s.looks
}

// watch ends the connection when the server is frozen: a stopped process's kernel acknowledges all that is sent, so that
// the transport sees nothing wrong. It returns when the connection has ended.
func (l *link) watch(probeAfter time.Duration) {
	defer close(l.watched)
	switch {
	case probeAfter < 0:
		return
	case probeAfter == 0:
		probeAfter = DefaultProbeAfter
	}
	ticker := time.NewTicker(probeAfter)
	defer ticker.Stop()
	var silence silence
	probe := newProbe()
	for {
		select {
		case <-l.conn.Lost():
			return
		case <-ticker.C:
		}
		l.mu.Lock()
		looks := silence.look(l.replies, l.tags.any())
		l.mu.Unlock()
		l.silent.Store(int64(time.Duration(looks) * probeAfter))
		switch looks {
		case probeLook:
			probe.send(l)
		case frozenLook:
			l.fail(fmt.Errorf("the server has answered nothing for %v", probeAfter*frozenLook))
		}
	}
}

// probe is a request that every server can answer at once and that changes nothing: a Tflush of a tag that no request
// has. NoTag is Tversion's alone.
type probe struct {
	call
	head  [HeaderSize + 2]byte
	reply [32]byte
	idle  chan struct{} // has one element while the probe is not under way
}

func newProbe() *probe {
	p := &probe{idle: make(chan struct{}, 1)}
	p.receiver = p
	p.Urgent = true
	binary.LittleEndian.PutUint32(p.head[:], uint32(len(p.head)))
	p.head[4] = byte(TypeTflush)
	binary.LittleEndian.PutUint16(p.head[HeaderSize:], NoTag)
	p.Head = p.head[:]
	p.idle <- struct{}{}
	return p
}

// send sends the probe, unless it is under way still: a server that does not answer it may answer all else.
func (p *probe) send(l *link) {
	select {
	case <-p.idle:
		p.Reply = l.errorRoom(p.reply[:])
		l.submit(&p.call)
	default:
	}
}

// received implements [receiver]. That there is an answer is all that counts.
func (p *probe) received() { p.idle <- struct{}{} }
