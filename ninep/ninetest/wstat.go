package ninetest

import (
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

var (
	wstatRules = []rule{
		{"one-at-a-time", wstatOne},
		{"all-at-once", wstatAll},
		{"dont-touch-is-sync", wstatNothing},
		{"what-is-may-be-said", wstatSame},
		{"what-cannot-change-is-refused", wstatFixed},
		{"bad-names-are-refused", wstatNames},
		{"length-of-a-directory", wstatDirectory},
		{"all-or-nothing", wstatAtomic},
	}
	plainWstatRules = []rule{
		{"existing-name-is-refused", wstatTaken},
		{"owner-and-atime-are-refused", wstatOwner},
	}
)

// wstat is a Twstat that changes what edit does to a description that changes nothing.
func wstat(fid ninep.FID, edit func(*ninep.Stat)) *ninep.Twstat {
	d := ninep.UntouchedStat()
	edit(&d)
	return &ninep.Twstat{Fid: fid, Stat: d}
}

func wstatOne(s *scope) {
	s.file("f", "content")
	w := s.wire()
	want := w.stat(w.to(9, "f"))
	for _, edit := range []func(*ninep.Stat){
		func(d *ninep.Stat) { d.Mode = 0o600 }, func(d *ninep.Stat) { d.Name = "g" },
		func(d *ninep.Stat) { d.Length = 3 }, func(d *ninep.Stat) { d.Length = 1000 }, func(d *ninep.Stat) { d.Mtime = 1234567890 },
	} {
		w.must(wstat(9, edit))
		edit(&want)
		got := w.stat(9)
		want.Atime, want.QID.Version = got.Atime, got.QID.Version
		if want.Mtime != 1234567890 {
			want.Mtime = got.Mtime // a new length moved it
		}
		if got != want {
			s.tb.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
	if s.exists(s.dir, "f") {
		s.tb.Error("the old name is still there")
	}
	s.content("g", "con"+string(make([]byte, 997)))
}

func wstatAll(s *scope) {
	s.file("f", "content")
	w := s.wire()
	w.to(9, "f")
	w.must(wstat(9, func(d *ninep.Stat) { d.Mode, d.Name, d.Length, d.Mtime = 0o640, "g", 2, 77 }))
	if got := w.stat(9); got.Mode != 0o640 || got.Name != "g" || got.Length != 2 || got.Mtime != 77 {
		s.tb.Errorf("%+v", got)
	}
	s.content("g", "co")
}

func wstatNothing(s *scope) {
	s.file("f", "content")
	w := s.wire()
	before := w.stat(w.to(9, "f"))
	nothing := func(*ninep.Stat) {}
	w.must(wstat(9, nothing))
	w.must(&ninep.Topen{Fid: 9, Mode: ninep.ClassicRDWR})
	w.must(wstat(9, nothing))
	w.must(wstat(dirFid, nothing))
	if got := w.stat(9); got != before {
		s.tb.Errorf("was %+v, is %+v", before, got)
	}
}

// wstatSame sends a whole description back.
func wstatSame(s *scope) {
	s.file("f", "content")
	w := s.wire()
	for _, fid := range []ninep.FID{w.to(9, "f"), dirFid} {
		before := w.stat(fid)
		w.must(&ninep.Twstat{Fid: fid, Stat: before})
		after := w.stat(fid)
		before.QID.Version, before.Mtime, before.Atime = after.QID.Version, after.Mtime, after.Atime
		if after != before {
			s.tb.Errorf("was %+v, is %+v", before, after)
		}
	}
}

func wstatFixed(s *scope) {
	s.file("f", "content")
	w := s.wire()
	before := w.stat(w.to(9, "f"))
	for _, edit := range []func(*ninep.Stat){
		func(d *ninep.Stat) { d.Kind = 77 }, func(d *ninep.Stat) { d.Dev = 77 }, func(d *ninep.Stat) { d.QID.Type = 0x55 },
		func(d *ninep.Stat) { d.QID.Path = 77 }, func(d *ninep.Stat) { d.MUID = "somebody" },
		func(d *ninep.Stat) { d.Mode = ninep.DMDir | 0o755 },
	} {
		m := wstat(9, edit)
		if refusal(w.say(m)) == 0 {
			s.tb.Errorf("accepted %+v", m)
		}
	}
	if got := w.stat(9); got != before {
		s.tb.Errorf("was %+v, is %+v", before, got)
	}
}

func wstatNames(s *scope) {
	s.file("f", "content")
	s.mkdir(s.dir, "d")
	w := s.wire()
	w.to(9, "f")
	for _, name := range []string{".", "..", "a/b", "d/f", "../escaped", "/escaped", "/", "a\x00b"} {
		w.refused(wstat(9, func(d *ninep.Stat) { d.Name = name }))
	}
	if names := s.names(s.dir); len(names) != 2 || names[1] != "f" {
		s.tb.Errorf("there is %q", names)
	}
}

func wstatDirectory(s *scope) {
	w := s.wire()
	w.refused(wstat(dirFid, func(d *ninep.Stat) { d.Length = 1 << 40 }))
	w.must(w.s.tstat(dirFid))
}

// wstatAtomic has the last of several changes fail.
func wstatAtomic(s *scope) {
	s.file("f", "content")
	s.mkdir(s.mkdir(s.dir, "full"), "inner")
	w := s.wire()
	for _, edit := range []func(*ninep.Stat){
		func(d *ninep.Stat) { d.Mode, d.Mtime, d.Name, d.Length = 0o600, 77, "g", 1<<63 },
		func(d *ninep.Stat) { d.Mode, d.Mtime, d.Name, d.Length = 0o600, 77, "full", 3 },
		func(d *ninep.Stat) { d.Mode, d.Mtime, d.Name, d.Length = 0o600, 77, "a/b", 3 },
	} {
		before := w.stat(w.to(9, "f"))
		w.refused(wstat(9, edit))
		after := w.stat(9)
		before.QID.Version, before.Atime = after.QID.Version, after.Atime
		if after != before {
			s.tb.Errorf("was %+v, is %+v", before, after)
		}
		w.must(&ninep.Tclunk{Fid: 9})
	}
	s.content("f", "content")
}

func wstatTaken(s *scope) {
	s.file("f", "content")
	s.file("g", "other")
	w := s.wire()
	w.to(9, "f")
	w.refused(wstat(9, func(d *ninep.Stat) { d.Name = "g" }), unix.EEXIST)
	s.content("f", "content")
	s.content("g", "other")
}

func wstatOwner(s *scope) {
	s.file("f", "content")
	w := s.wire()
	before := w.stat(w.to(9, "f"))
	w.refused(wstat(9, func(d *ninep.Stat) { d.UID = "12" }))
	w.refused(wstat(9, func(d *ninep.Stat) { d.Atime = 77 }))
	if after := w.stat(9); after != before {
		s.tb.Errorf("was %+v, is %+v", before, after)
	}
}
