package ninetest

import (
	"math"
	"strings"

	"github.com/csi-9p/csi-9p/ninep"
)

var versionRules = []rule{
	{"small-msize-carries-everything", smallMsize},
	{"msize-is-never-raised", msizeNeverRaised},
	{"unknown-dialect", unknownDialect},
	{"again-clunks-every-fid", versionAgain},
}

// smallMsize moves data, names and a directory through the smallest messages.
func smallMsize(s *scope) {
	o := s.client(ninep.Config{Dial: s.server.Dial, Msize: ninep.MinMsize})
	if most := ninep.MinMsize - ninep.ReadHeadSize; o.session.MaxPayload() > most {
		s.tb.Fatalf("payload of %d bytes at msize %d", o.session.MaxPayload(), ninep.MinMsize)
	}
	f := o.create(strings.Repeat("n", ninep.MaxName))
	data := random(1, 100<<10)
	o.write(f, data, 1)
	o.reads(f, data, 1)
	for i := range 64 {
		o.mkdir(o.dir, strings.Repeat("d", 200)+itoa(i))
	}
	if n := len(o.entries(o.openDir(o.dir), 0, o.session.MaxPayload())); n != 65 {
		s.tb.Errorf("%d entries, want 65", n)
	}
}

// msizeNeverRaised also covers msize below 4096, which a server may refuse.
func msizeNeverRaised(s *scope) {
	for _, msize := range []uint32{256, 1000, 4095, 4096, 4097, 8192, 1 << 20, math.MaxUint32} {
		w := s.bareWire()
		switch r := w.start(ninep.NoTag, &ninep.Tversion{Msize: msize, Version: s.dialect().String()}).wait().(type) {
		case *ninep.Rversion:
			if r.Msize > msize {
				s.tb.Errorf("asked for msize %d, got %d", msize, r.Msize)
			}
			if r.Version == "unknown" && msize >= ninep.MinMsize {
				s.tb.Errorf("msize %d: version unknown", msize)
			}
		default:
			if msize >= ninep.MinMsize {
				s.tb.Errorf("msize %d: %+v", msize, r)
			}
		}
	}
}

// unknownDialect: version(5) asks for "unknown", or for an earlier version that the asked one's name begins with; after
// which a proper Tversion may follow on the same connection.
func unknownDialect(s *scope) {
	for dialect, earlier := range map[string]string{"9P1999": "", "": "", "HTTP/1.1": "", "9P2000.X": "9P2000"} {
		w := s.bareWire()
		reply, ok := w.start(ninep.NoTag, &ninep.Tversion{Msize: wireMsize, Version: dialect}).wait().(*ninep.Rversion)
		if !ok || reply.Version != "unknown" && (earlier == "" || reply.Version != earlier) {
			s.tb.Errorf("dialect %q: %+v", dialect, reply)
		}
		w.begin()
	}
}

func versionAgain(s *scope) {
	w := s.wire()
	w.start(ninep.NoTag, &ninep.Tversion{Msize: wireMsize, Version: s.dialect().String()}).wait()
	w.unbound(rootFid)
	w.unbound(dirFid)
	w.begin()
}
