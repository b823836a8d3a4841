package ninetest

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
)

// wire is a connection that sends single messages as a rule fills them, for
// what the client would never send.
type wire struct {
	s    *scope
	conn transport.Conn
}

// Fids and tags that a wire starts with.
const (
	rootFid ninep.FID = 1 // the tree
	dirFid  ninep.FID = 2 // the rule's directory
	someTag           = 7 // of the calls made one at a time
)

// wireMsize is what a wire asks for.
const wireMsize = 64 << 10

// bareWire is a connection on which nothing was said yet.
func (s *scope) bareWire() *wire {
	s.tb.Helper()
	conn, err := s.server.Dial(s.ctx)
	s.ok(err, "dial")
	s.tb.Cleanup(func() {
		if err := conn.Close(); err != nil {
			s.tb.Errorf("close: %v", err)
		}
		<-conn.Lost()
	})
	return &wire{s: s, conn: conn}
}

// wire is a connection that has rootFid and dirFid.
func (s *scope) wire() *wire {
	s.tb.Helper()
	w := s.bareWire()
	w.begin()
	return w
}

// begin negotiates, attaches and walks to the rule's directory.
func (w *wire) begin() {
	w.s.tb.Helper()
	w.beginAs(w.s.server.UID)
}

func (w *wire) beginAs(uid uint32) {
	w.s.tb.Helper()
	version, ok := w.start(ninep.NoTag, &ninep.Tversion{Msize: wireMsize, Version: w.s.dialect().String()}).wait().(*ninep.Rversion)
	if !ok || version.Version != w.s.dialect().String() {
		w.s.tb.Fatalf("Tversion: %+v", version)
	}
	w.conn.SetMsize(version.Msize)
	w.must(w.s.tattach(rootFid, uid))
	w.must(&ninep.Twalk{Fid: rootFid, NewFid: dirFid, Names: []string{w.s.dirName}})
}

// pending is a message on its way.
type pending struct {
	w    *wire
	call transport.Call
	done chan struct{}
}

// Complete implements [transport.Completer].
func (p *pending) Complete(*transport.Call) { close(p.done) }

// start sends a message.
func (w *wire) start(tag uint16, m ninep.Message) *pending {
	w.s.tb.Helper()
	head, err := w.s.dialect().Append(nil, tag, m)
	w.s.ok(err, "encode")
	var in []byte
	switch m := m.(type) {
	case *ninep.Tread:
		in = make([]byte, m.Count)
	case *ninep.Treaddir:
		in = make([]byte, m.Count)
	}
	p := &pending{w: w, done: make(chan struct{})}
	p.call = transport.Call{
		Tag: tag, Head: head, Out: ninep.Payload(m), In: in, Reply: make([]byte, 0, wireMsize), Done: p,
	}
	w.conn.Submit(&p.call)
	return p
}

// wait returns the reply to a message.
func (p *pending) wait() ninep.Message {
	s := p.w.s
	s.tb.Helper()
	select {
	case <-p.done:
	case <-s.ctx.Done():
		s.tb.Fatal("no reply")
	}
	s.ok(p.call.Err, "connection")
	_, reply, err := s.dialect().Decode(slices.Concat(p.call.Reply, p.call.In[:p.call.N]))
	s.ok(err, "decode the reply")
	return reply
}

// say sends a message and returns the reply.
func (w *wire) say(m ninep.Message) ninep.Message {
	w.s.tb.Helper()
	return w.start(someTag, m).wait()
}

// must says something that the server may not refuse.
func (w *wire) must(m ninep.Message) ninep.Message {
	w.s.tb.Helper()
	reply := w.say(m)
	if e := refusal(reply); e != 0 {
		w.s.tb.Fatalf("%v %+v: %v", m.Type(), m, e)
	}
	return reply
}

// refused says something that the server has to refuse, with one of those
// numbers where any are given.
func (w *wire) refused(m ninep.Message, want ...unix.Errno) {
	w.s.tb.Helper()
	e := refusal(w.say(m))
	if e == 0 || len(want) > 0 && !slices.Contains(want, e) {
		w.s.tb.Fatalf("%v %+v: errno %d (%v), want a refusal %v", m.Type(), m, int(e), e, want)
	}
}

// unbound fails unless the fid is free.
func (w *wire) unbound(f ninep.FID) {
	w.s.tb.Helper()
	w.refused(w.s.tstat(f))
}

// refusal is the number of an error reply, 0 for any other.
func refusal(m ninep.Message) unix.Errno {
	switch m := m.(type) {
	case *ninep.Rlerror:
		return unix.Errno(m.Errno)
	case *ninep.Rerror:
		if m.Errno == 0 {
			return ninep.TextErrno(m.Ename) // 9P2000 has no numbers
		}
		return unix.Errno(m.Errno)
	}
	return 0
}
