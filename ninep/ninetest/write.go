package ninetest

import (
	"bytes"
	"os"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

var writeRules = []rule{
	{"extends-and-overwrites", writeOverlap},
	{"zero-bytes-change-nothing", writeZero},
	{"larger-than-msize", writeLarge},
	{"any-offset-and-length", writeTable},
	{"is-in-the-servers-file", writeHost},
	{"absurd-offset-is-refused", writeOffsets},
	{"moves-mtime", writeMtime},
}

func writeOverlap(s *scope) {
	f := s.create("f")
	s.write(f, []byte("abcdef"), 0)
	s.write(f, []byte("XY"), 2)
	s.write(f, []byte("ghij"), 5)
	s.content("f", "abXYeghij")
	if size := s.attr(f).Size; size != 9 {
		s.tb.Errorf("size %d, want 9", size)
	}
}

func writeZero(s *scope) {
	f := s.create("f")
	s.write(f, []byte("data"), 0)
	s.write(f, nil, 100)
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"f"}})
	w.must(s.topen(9, ninep.OpenReadWrite))
	w.must(&ninep.Twrite{Fid: 9, Offset: 100})
	s.content("f", "data")
}

func writeLarge(s *scope) {
	data := random(4, 9<<20+17)
	f := s.create("f")
	s.write(f, data, 3)
	s.reads(f, append(make([]byte, 3), data...), 0)
}

func writeTable(s *scope) {
	model := random(5, 300<<10)
	f := s.create("f")
	s.write(f, model, 0)
	most := s.session.MaxPayload()
	for i, offset := range []int{0, 1, 511, 4095, 4096, 65537, 100000} {
		for j, n := range []int{1, 10, 1023, 1024, 1025, 4096, 65535, 65536, most - 1, most, most + 1} {
			data := random(uint64(100+16*i+j), min(n, len(model)-offset))
			copy(model[offset:], data)
			s.write(f, data, int64(offset))
		}
		s.reads(f, model, 0)
	}
}

func writeHost(s *scope) {
	s.needsRoot()
	data := random(6, 3<<20)
	f := s.create("f")
	s.write(f, data, 0)
	got, err := os.ReadFile(s.hostPath("f"))
	s.ok(err, "read the server's file")
	if !bytes.Equal(got, data) {
		s.tb.Error(difference(got, data))
	}
}

func writeOffsets(s *scope) {
	f := s.create("f")
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"f"}})
	w.must(s.topen(9, ninep.OpenReadWrite))
	for _, offset := range []uint64{1<<63 - 1, 1 << 63, 1<<64 - 1} {
		w.refused(&ninep.Twrite{Fid: 9, Offset: offset, Data: []byte("x")}, unix.EFBIG, unix.EINVAL, unix.EOVERFLOW)
	}
	if size := s.attr(f).Size; size != 0 {
		s.tb.Errorf("the file has %d bytes", size)
	}
}

func writeMtime(s *scope) {
	f := s.create("f")
	past := ninep.Timespec{Sec: 1000}
	s.ok(f.Setattr(s.ctx, ninep.SetAttr{Valid: ninep.SetMtime | ninep.SetMtimeGiven, Mtime: past}), "set mtime")
	s.write(f, []byte("data"), 0)
	if attr := s.attr(f); attr.Mtime == past {
		s.tb.Error("mtime did not move")
	}
}
