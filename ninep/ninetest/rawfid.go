package ninetest

import (
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

var (
	rawFidRules = []rule{
		{"unknown-is-ebadf", rawUnknownFid},
		{"in-use-is-refused", rawFidInUse},
		{"nofid-is-no-fid", rawNoFid},
		{"used-while-clunked", rawClunkRace},
	}
	rawStateRules = []rule{
		{"requests-before-version", rawBeforeVersion},
		{"one-tag-twice", rawTagTwice},
		{"flood-without-reading", rawFlood},
		{"fifo-does-not-block-others", rawFifo},
		{"xattr-fid-misused", rawXattr},
		{"steps-without-waiting", rawSteps},
	}
)

// rawUnknownFid: every request that names a fid that is not bound.
func rawUnknownFid(s *scope) {
	w := s.wire()
	const no ninep.FID = 999
	for _, m := range s.tuses(no) {
		w.refused(m, unix.EBADF)
	}
	w.unbound(9)
}

func rawFidInUse(s *scope) {
	s.file("f", "data")
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"f"}})
	w.refused(&ninep.Twalk{Fid: dirFid, NewFid: 9})
	w.refused(&ninep.Twalk{Fid: dirFid, NewFid: rootFid, Names: []string{"f"}})
	w.refused(s.tattach(9, s.server.UID))
	if s.dialect() == ninep.DialectL {
		w.refused(&ninep.Txattrwalk{Fid: 9, NewFid: dirFid})
	}
	s.sameQID(qidOf(w.must(s.tstat(9))), s.walk(s.dir, "f").QID(), "the fid that was in use")
}

func rawNoFid(s *scope) {
	w := s.wire()
	w.refused(&ninep.Twalk{Fid: dirFid, NewFid: ninep.NoFID})
	w.refused(s.tattach(ninep.NoFID, s.server.UID))
	w.must(s.tstat(dirFid))
}

// rawClunkRace reads through a fid in parallel with its clunk and its rebirth.
func rawClunkRace(s *scope) {
	s.file("f", "data")
	s.file("g", "other")
	w := s.wire()
	for range 200 {
		w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"f"}})
		w.must(s.topen(9, ninep.OpenReadOnly))
		var calls []*pending
		for tag := range uint16(4) {
			calls = append(calls, w.start(tag, &ninep.Tread{Fid: 9, Count: 10}))
		}
		clunk := w.start(5, &ninep.Tclunk{Fid: 9})
		for _, call := range calls {
			if reply, ok := call.wait().(*ninep.Rread); ok && string(reply.Data) != "data" {
				s.tb.Fatalf("read %q", reply.Data)
			}
		}
		if e := refusal(clunk.wait()); e != 0 {
			s.tb.Fatalf("clunk: %v", e)
		}
	}
}

func rawBeforeVersion(s *scope) {
	for _, b := range [][]byte{
		s.frame(s.tattach(rootFid, s.server.UID)),
		s.frame(s.tstat(rootFid)),
		[]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
	} {
		s.bareLink().refusedOrDead(b)
	}
	s.alive()
}

// refusedOrDead takes any end but a success.
func (l *link) refusedOrDead(b []byte) {
	l.s.tb.Helper()
	l.send(b)
	if reply := l.receive(); reply != nil && !isError(reply) {
		l.s.tb.Fatalf("frame of type %d: reply of type %d", b[4], reply[4])
	}
}

// rawTagTwice has two requests of one tag in flight: each is answered, or the
// connection ends.
func rawTagTwice(s *scope) {
	l := s.link()
	for range 100 {
		b := s.frame(s.tstat(dirFid))
		l.send(append(b, b...))
		for range 2 {
			if l.receive() == nil {
				s.alive()
				return
			}
		}
	}
	s.alive()
}

// rawFlood never reads a reply: the server must neither hang for others nor
// keep all that it has to say in memory for ever.
func rawFlood(s *scope) {
	s.file("f", string(random(41, 60<<10)))
	var floods sync.WaitGroup
	for range 4 {
		l := s.link()
		l.must(walkFrame(dirFid, 9, []string{"f"}))
		l.must(s.frame(s.topen(9, ninep.OpenReadOnly)))
		floods.Go(func() {
			b := frame(ninep.TypeTread, ninep.FID(9), uint64(0), uint32(60<<10))
			for tag := range uint16(50000) {
				binary.LittleEndian.PutUint16(b[5:], tag)
				if _, err := l.conn.Write(b); err != nil {
					return
				}
			}
		})
		s.alive()
		s.ok(l.conn.Close(), "close")
	}
	floods.Wait()
	s.alive()
}

// rawFifo opens a fifo that nobody writes: whatever the answer, others are served.
func rawFifo(s *scope) {
	_, err := s.dir.Mknod(s.ctx, "fifo", unix.S_IFIFO|0o644, 0, 0, s.server.UID)
	s.ok(err, "mknod")
	w := s.wire()
	var opens []*pending
	for i := range uint16(64) {
		w.must(&ninep.Twalk{Fid: dirFid, NewFid: 100 + ninep.FID(i), Names: []string{"fifo"}})
		opens = append(opens, w.start(100+i, s.topen(100+ninep.FID(i), ninep.OpenReadOnly)))
	}
	w.must(s.tstat(dirFid))
	for _, open := range opens {
		open.wait()
	}
	s.alive()
}

// rawXattr uses a fid made for one thing for another.
func rawXattr(s *scope) {
	s.file("f", "data")
	f := s.walk(s.dir, "f")
	s.setxattr(f, "user.a", []byte("value"))
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"f"}})
	w.must(&ninep.Txattrwalk{Fid: 9, NewFid: 10, Name: "user.a"})
	for _, m := range []ninep.Message{
		&ninep.Twrite{Fid: 10, Data: []byte("x")}, s.topen(10, ninep.OpenReadOnly), s.tlist(10, 100),
		&ninep.Twalk{Fid: 10, NewFid: 11, Names: []string{"a"}}, &ninep.Tmkdir{Fid: 10, Name: "a"},
	} {
		w.refused(m)
	}
	w.must(&ninep.Tclunk{Fid: 10})
	w.refused(&ninep.Txattrcreate{Fid: 9, Name: "user.b", Size: 1 << 40})
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 12, Names: []string{"f"}})
	w.must(&ninep.Txattrcreate{Fid: 12, Name: "user.b", Size: 3})
	w.refused(&ninep.Twrite{Fid: 12, Offset: 1 << 40, Data: []byte("abc")})
	w.refused(&ninep.Twrite{Fid: 12, Data: []byte("too long")})
	w.refused(&ninep.Tread{Fid: 12, Count: 3})
	w.say(&ninep.Tclunk{Fid: 12})
	s.xattr(f, "user.a", []byte("value"))
	s.content("f", "data")
}

// rawSteps names fids before the reply that binds them: what runs too early is
// refused, and what succeeds is right.
func rawSteps(s *scope) {
	s.file("f", "data")
	w := s.wire()
	for range 500 {
		walk := w.start(1, &ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"f"}})
		attr := w.start(2, s.tstat(9))
		open := w.start(3, s.topen(9, ninep.OpenReadOnly))
		read := w.start(4, &ninep.Tread{Fid: 9, Count: 10})
		if e := refusal(walk.wait()); e != 0 {
			s.tb.Fatalf("walk: %v", e)
		}
		if size, ok := sizeOf(attr.wait()); ok && size != 4 {
			s.tb.Fatalf("size %d", size)
		}
		open.wait()
		if reply, ok := read.wait().(*ninep.Rread); ok && string(reply.Data) != "data" {
			s.tb.Fatalf("read %q", reply.Data)
		}
		w.must(&ninep.Tclunk{Fid: 9})
	}
}
