package ninetest

import (
	"bytes"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

var readRules = []rule{
	{"end-of-file", readEnd},
	{"zero-bytes", readZero},
	{"hole-is-zeros", readHole},
	{"beyond-4-gib", readFar},
	{"larger-than-msize", readLarge},
	{"any-offset-and-length", readTable},
	{"never-more-than-asked", readCount},
	{"of-a-directory-is-refused", readDirectory},
	{"offset-of-any-size", readOffsets},
}

func readEnd(s *scope) {
	s.file("f", "data")
	f := s.openFile("f", unix.O_RDONLY)
	for offset, want := range map[int64]string{0: "data", 2: "ta", 3: "a", 4: "", 5: "", 1 << 40: ""} {
		if got := s.read(f, 100, offset); string(got) != want {
			s.tb.Errorf("at %d: %q, want %q", offset, got, want)
		}
	}
}

func readZero(s *scope) {
	s.file("f", "data")
	f := s.openFile("f", unix.O_RDONLY)
	s.reads(f, nil, 0)
	s.reads(f, nil, 100)
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"f"}})
	w.must(s.topen(9, ninep.OpenReadOnly))
	w.must(&ninep.Tread{Fid: 9})
}

func readHole(s *scope) {
	f := s.create("f")
	s.write(f, []byte("end"), 1<<20)
	s.reads(f, make([]byte, 1<<20), 0)
	s.reads(f, append(make([]byte, 100), "end"...), 1<<20-100)
}

func readFar(s *scope) {
	f := s.create("f")
	for _, offset := range []int64{1<<31 - 3, 1<<32 - 3, 1<<32 + 5, 1<<40 + 1} {
		s.write(f, []byte("marker"), offset)
	}
	for _, offset := range []int64{1<<31 - 3, 1<<32 - 3, 1<<40 + 1} {
		s.reads(f, []byte("marker"), offset)
	}
	if size := s.attr(f).Size; size != 1<<40+7 {
		s.tb.Errorf("size %d, want %d", size, 1<<40+7)
	}
}

// readLarge is several messages at any msize that a server takes.
func readLarge(s *scope) {
	data := random(2, 9<<20+17)
	f := s.create("f")
	s.write(f, data, 0)
	s.reads(f, data, 0)
	if got := s.read(f, len(data)+100, 0); !bytes.Equal(got, data) {
		s.tb.Errorf("past the end: %s", difference(got, data))
	}
}

func readTable(s *scope) {
	data := random(3, 300<<10)
	f := s.create("f")
	s.write(f, data, 0)
	most := s.session.MaxPayload()
	for _, offset := range []int{0, 1, 511, 4095, 4096, 65537, len(data) - 1} {
		for _, n := range []int{1, 10, 1023, 1024, 1025, 4096, 65535, 65536, most - 1, most, most + 1} {
			s.reads(f, data[offset:min(offset+n, len(data))], int64(offset))
		}
	}
}

// readCount asks for more than a message carries: less is fine, a refusal too.
func readCount(s *scope) {
	s.file("f", "data")
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"f"}})
	w.must(s.topen(9, ninep.OpenReadOnly))
	for _, count := range []uint32{1, 3, 4, 5, wireMsize - 11, wireMsize, 1 << 20} {
		reply, ok := w.say(&ninep.Tread{Fid: 9, Count: count}).(*ninep.Rread)
		if ok && string(reply.Data) != "data"[:min(count, 4)] {
			s.tb.Errorf("count %d: %q", count, reply.Data)
		}
		if !ok && count <= wireMsize-ninep.IOHeaderSize {
			s.tb.Errorf("count %d is refused", count)
		}
	}
}

func readDirectory(s *scope) {
	w := s.wire()
	w.must(s.topen(dirFid, ninep.OpenReadOnly|ninep.OpenDirectory))
	w.refused(&ninep.Tread{Fid: dirFid, Count: 100})
}

// readOffsets: no offset ends the connection.
func readOffsets(s *scope) {
	s.file("f", "data")
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"f"}})
	w.must(s.topen(9, ninep.OpenReadOnly))
	for _, offset := range []uint64{1<<63 - 5, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
		if reply, ok := w.say(&ninep.Tread{Fid: 9, Offset: offset, Count: 100}).(*ninep.Rread); ok && len(reply.Data) > 0 {
			s.tb.Errorf("read %q at %d", reply.Data, offset)
		}
	}
	w.must(&ninep.Tread{Fid: 9, Count: 100})
}
