package ninetest

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"github.com/csi-9p/csi-9p/ninep"
)

func rawSizes(s *scope) {
	for _, size := range []uint32{0, 1, 4, 6, wireMsize + 1, 1 << 24, 1 << 31, 1<<32 - 1} {
		l := s.link()
		b := s.frame(s.tstat(dirFid))
		binary.LittleEndian.PutUint32(b, size)
		l.send(b)
		l.dead()
	}
	for _, size := range []uint32{0, 6, 1 << 31, 1<<32 - 1} {
		l := s.bareLink()
		l.send(binary.LittleEndian.AppendUint32(nil, size))
		l.send(make([]byte, 100))
		l.dead()
	}
	s.alive()
}

// rawTruncated leaves connections in the middle of a frame.
func rawTruncated(s *scope) {
	whole := frame(ninep.TypeTwrite, dirFid, uint64(0), uint32(5000), make([]byte, 5000))
	for _, n := range []int{0, 1, 4, 6, 7, 11, 22, 23, 24, len(whole) - 1} {
		l := s.link()
		l.send(whole[:n])
		s.alive()
		s.ok(l.conn.Close(), "close")
	}
	s.alive()
}

func rawTypes(s *scope) {
	l := s.link()
	for t := range 256 {
		if s.dialect().NewMessage(ninep.MsgType(t)) == nil {
			l.refused(frame(ninep.MsgType(t), make([]byte, 20)), false)
		}
	}
	l.must(s.frame(s.tstat(dirFid)))
}

// requests is the requests of the dialect but Tversion, which begins a session anew.
func (s *scope) requests() []ninep.MsgType {
	var all []ninep.MsgType
	for t := ninep.MsgType(2); t < 128; t += 2 {
		if t != ninep.TypeTversion && s.dialect().NewMessage(t) != nil {
			all = append(all, t)
		}
	}
	return all
}

// rawBodies cuts and pads every request. Some of them are valid by chance:
// any answer will do, or none after hanging up.
func rawBodies(s *scope) {
	for _, t := range s.requests() {
		for _, n := range []int{0, 1, 3, 4, 7, 8, 11, 15, 30, 100, 5000} {
			l := s.link()
			for _, fill := range []byte{0x00, 0xff} {
				l.send(frame(t, slices.Repeat([]byte{fill}, n)))
				if l.receive() == nil {
					break
				}
			}
			s.ok(l.conn.Close(), "close")
		}
		s.alive()
	}
}

func rawString(s *scope) {
	for _, b := range [][]byte{
		frame(ninep.TypeTwalk, dirFid, ninep.FID(9), uint16(1), uint16(100), []byte("short")),
		frame(ninep.TypeTwalk, dirFid, ninep.FID(9), uint16(0xffff), uint16(1), []byte("a")),
		frame(ninep.TypeTwalk, dirFid, ninep.FID(9), uint16(2), "a"),
		frame(s.tcreate(dirFid, "", 0, 0).Type(), dirFid, uint16(0xffff), []byte("name"), uint32(0o755), uint32(0)),
		frame(ninep.TypeTattach, ninep.FID(9), ninep.NoFID, "", uint16(1000), []byte("/")),
	} {
		s.link().refused(b, true)
	}
	if names := s.names(s.dir); len(names) > 0 {
		s.tb.Errorf("made %q", names)
	}
	s.alive()
}

func rawWriteCount(s *scope) {
	s.file("f", "data")
	for _, count := range []uint32{5, 6, wireMsize, 1 << 31, 1<<32 - 1} {
		l := s.link()
		l.must(walkFrame(dirFid, 9, []string{"f"}))
		l.must(s.frame(s.topen(9, ninep.OpenReadWrite)))
		l.refused(frame(ninep.TypeTwrite, ninep.FID(9), uint64(0), count, []byte("evil")), true)
	}
	s.content("f", "data")
	s.alive()
}

func rawReplies(s *scope) {
	for t := ninep.MsgType(7); t < 128; t += 2 {
		s.link().refused(frame(t, make([]byte, 40)), true)
	}
	s.alive()
}

// rawRandom is noise, bare and behind good headers.
func rawRandom(s *scope) {
	r := rand.New(rand.NewPCG(77, 77))
	for i := range 200 {
		l := s.link()
		noise := random(r.Uint64(), r.IntN(300))
		if i%2 == 0 {
			all := s.requests()
			noise = frame(all[r.IntN(len(all))], noise)
		}
		l.send(noise)
		s.ok(l.conn.Close(), "close")
	}
	s.alive()
	if names := s.names(s.dir); len(names) > 1 {
		s.tb.Errorf("noise made %q", names)
	}
}

func rawReadCount(s *scope) {
	s.file("f", string(random(40, 200<<10)))
	l := s.link()
	l.must(walkFrame(dirFid, 9, []string{"f"}))
	l.must(s.frame(s.topen(9, ninep.OpenReadOnly)))
	for _, count := range []uint32{wireMsize - 11, wireMsize - 10, wireMsize, 1 << 31, 1<<32 - 1} {
		l.send(frame(ninep.TypeTread, ninep.FID(9), uint64(0), count))
		if reply := l.receive(); reply == nil {
			s.tb.Fatalf("count %d ended the connection", count)
		}
	}
}

// rawSeventeen: a walk has sixteen names at most (MAXWELEM).
func rawSeventeen(s *scope) {
	for _, n := range []int{ninep.MaxWalk + 1, 100, 1000} {
		l := s.link()
		l.refused(walkFrame(dirFid, 9, slices.Repeat([]string{"."}, n)), true)
	}
	s.alive()
}
