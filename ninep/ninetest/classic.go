package ninetest

import (
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

var (
	classicOpenRules = []rule{
		{"removes-on-clunk", classicRemoveOnClunk},
		{"exec-reads", classicExec},
		{"truncation-takes-the-permission-to-write", classicTruncate},
	}
	classicCreateRules = []rule{
		{"existing-name-is-refused", classicExisting},
		{"mode-is-not-checked-against-perm", classicPerm},
		{"directory-is-opened", classicDirectory},
		{"directory-is-not-opened-for-writing", classicDirectoryWrite},
	}
	plainCreateRules = []rule{
		{"perm-is-masked-by-the-parent", plainMask},
	}
)

func classicRemoveOnClunk(s *scope) {
	s.file("f", "data")
	w := s.wire()
	w.must(&ninep.Topen{Fid: w.to(9, "f"), Mode: ninep.ClassicRClose})
	if string(w.must(&ninep.Tread{Fid: 9, Count: 10}).(*ninep.Rread).Data) != "data" || !s.exists(s.dir, "f") {
		s.tb.Error("gone before the clunk")
	}
	w.must(&ninep.Tclunk{Fid: 9})
	w.unbound(9)
	if s.exists(s.dir, "f") {
		s.tb.Error("still there after the clunk")
	}
}

func classicExec(s *scope) {
	s.file("f", "data")
	s.setattr(s.walk(s.dir, "f"), ninep.SetAttr{Valid: ninep.SetMode, Mode: 0o755})
	w := s.wire()
	w.must(&ninep.Topen{Fid: w.to(9, "f"), Mode: ninep.ClassicExec})
	if got := w.must(&ninep.Tread{Fid: 9, Count: 10}).(*ninep.Rread).Data; string(got) != "data" {
		s.tb.Errorf("read %q", got)
	}
	w.refused(&ninep.Twrite{Fid: 9, Data: []byte("x")})
}

func classicTruncate(s *scope) {
	s.file("f", "data")
	s.asOther()
	w := s.bareWire()
	w.beginAs(s.server.OtherUID)
	w.refused(&ninep.Topen{Fid: w.to(9, "f"), Mode: ninep.ClassicRead | ninep.ClassicTrunc}, unix.EACCES, unix.EPERM)
	w.refused(&ninep.Topen{Fid: 9, Mode: ninep.ClassicWrite}, unix.EACCES, unix.EPERM)
	w.must(&ninep.Topen{Fid: 9})
	s.content("f", "data")
}

func classicExisting(s *scope) {
	s.file("f", "data")
	s.mkdir(s.dir, "d")
	w := s.wire()
	for _, name := range []string{"f", "d"} {
		for _, perm := range []ninep.StatMode{0o644, ninep.DMDir | 0o755} {
			w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9})
			w.refused(&ninep.Tcreate{Fid: 9, Name: name, Perm: perm}, unix.EEXIST)
			w.must(&ninep.Tclunk{Fid: 9})
		}
	}
	s.content("f", "data")
}

func classicPerm(s *scope) {
	s.asOther()
	w := s.bareWire()
	w.beginAs(s.server.OtherUID)
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9})
	w.must(&ninep.Tcreate{Fid: 9, Name: "f", Perm: 0, Mode: ninep.ClassicRDWR})
	w.must(&ninep.Twrite{Fid: 9, Data: []byte("data")})
	if got := w.must(&ninep.Tread{Fid: 9, Count: 10}).(*ninep.Rread).Data; string(got) != "data" {
		s.tb.Errorf("read %q", got)
	}
}

func classicDirectory(s *scope) {
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9})
	made := qidOf(w.must(&ninep.Tcreate{Fid: 9, Name: "d", Perm: ninep.DMDir | 0o755}))
	if data := w.must(&ninep.Tread{Fid: 9, Count: 1000}).(*ninep.Rread).Data; len(data) > 0 {
		s.tb.Errorf("a new directory reads %d bytes", len(data))
	}
	s.sameQID(s.walk(s.dir, "d").QID(), made, "the directory")
	if !made.IsDir() {
		s.tb.Errorf("qid %v", made)
	}
}

func classicDirectoryWrite(s *scope) {
	w := s.wire()
	for _, mode := range []uint8{ninep.ClassicWrite, ninep.ClassicRDWR} {
		w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9})
		w.refused(&ninep.Tcreate{Fid: 9, Name: "d", Perm: ninep.DMDir | 0o755, Mode: mode})
		w.must(&ninep.Tclunk{Fid: 9})
	}
}

func plainMask(s *scope) {
	w := s.wire()
	for i, test := range []struct {
		dir        uint32
		perm, want ninep.StatMode
	}{
		{0o777, 0o666, 0o666}, {0o700, 0o666, 0o600}, {0o750, 0o777, 0o751},
		{0o750, ninep.DMDir | 0o777, ninep.DMDir | 0o750},
	} {
		s.setattr(s.dir, ninep.SetAttr{Valid: ninep.SetMode, Mode: test.dir})
		w.makeNode(itoa(i), test.perm, "")
		if got := w.stat(w.to(ninep.FID(10+i), itoa(i))).Mode; got != test.want {
			s.tb.Errorf("%o in a directory of %o: %o, want %o", test.perm, test.dir, got, test.want)
		}
	}
}
