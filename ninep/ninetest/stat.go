package ninetest

import (
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// The rules of Plan 9's dialects that 9P2000.L has no like of: section 5 of the Plan 9 manual, and the draft of 9P2000.u. They
// speak by a wire.
var (
	errorRules = []rule{
		{"text-and-number", errorText},
		{"no-longer-than-a-message", errorLong},
	}
	statRules = []rule{
		{"describes-the-file", statFile},
		{"root-is-a-slash", statRoot},
		{"qid-type-is-of-the-mode", statQID},
		{"name-follows-a-rename", statRenamed},
	}
	directoryRules = []rule{
		{"whole-entries", directoryEntries},
		{"offset-continues-or-is-zero", directoryOffsets},
		{"count-too-small-for-an-entry", directoryTooSmall},
		{"is-not-written", directoryWrite},
	}
	unixStatRules = []rule{
		{"ids-by-number", unixIDs},
		{"special-files", unixSpecials},
	}
)

// errorText: the text says what the errno does, which 9P2000.u has too.
func errorText(s *scope) {
	w := s.wire()
	reply, ok := w.say(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"missing"}}).(*ninep.Rerror)
	if !ok || ninep.TextErrno(reply.Ename) != unix.ENOENT {
		s.tb.Errorf("%+v", reply)
	}
	if ok && s.dialect() == ninep.DialectU && unix.Errno(reply.Errno) != unix.ENOENT {
		s.tb.Errorf("errno %d", reply.Errno)
	}
}

// errorLong: an error(5) text is no longer than a client has room for, whatever it is about.
func errorLong(s *scope) {
	w := s.wire()
	names := slices.Repeat([]string{string(random(50, 1000))}, ninep.MaxWalk)
	reply, ok := w.say(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: names}).(*ninep.Rerror)
	if !ok || reply.Ename == "" || len(reply.Ename) > 255 {
		s.tb.Errorf("%+v", reply)
	}
}

// stat is the description of a fid's file.
func (w *wire) stat(fid ninep.FID) ninep.Stat {
	w.s.tb.Helper()
	return w.must(&ninep.Tstat{Fid: fid}).(*ninep.Rstat).Stat
}

// to walks to a name in the rule's directory.
func (w *wire) to(fid ninep.FID, name string) ninep.FID {
	w.s.tb.Helper()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: fid, Names: []string{name}})
	return fid
}

// makeNode makes a file in the rule's directory and leaves no fid on it.
func (w *wire) makeNode(name string, perm ninep.StatMode, extension string) {
	w.s.tb.Helper()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 90})
	w.must(&ninep.Tcreate{Fid: 90, Name: name, Perm: perm, Extension: extension})
	w.must(&ninep.Tclunk{Fid: 90})
}

func statFile(s *scope) {
	s.file("f", "data")
	w := s.wire()
	got := w.stat(w.to(9, "f"))
	if got.Name != "f" || got.Mode != 0o644 || got.Length != 4 {
		s.tb.Errorf("%+v", got)
	}
	if attr := s.attrOf("f"); uint64(got.Mtime) != attr.Mtime.Sec || got.QID.Path != attr.QID.Path {
		s.tb.Errorf("%+v, want %+v", got, attr)
	}
	if again := w.stat(9); again != got {
		s.tb.Errorf("%+v, before that %+v", again, got)
	}
}

func statRoot(s *scope) {
	w := s.wire()
	if got := w.stat(rootFid); got.Name != "/" || got.Mode&ninep.DMDir == 0 {
		s.tb.Errorf("%+v", got)
	}
}

func statQID(s *scope) {
	s.file("f", "data")
	w := s.wire()
	for _, fid := range []ninep.FID{rootFid, dirFid, w.to(9, "f")} {
		if got := w.stat(fid); ninep.StatMode(got.QID.Type) != got.Mode>>24 {
			s.tb.Errorf("%+v", got)
		}
	}
}

func statRenamed(s *scope) {
	s.file("f", "data")
	w := s.wire()
	w.to(9, "f")
	w.to(10, "f")
	w.must(wstat(9, func(d *ninep.Stat) { d.Name = "g" }))
	for _, fid := range []ninep.FID{9, 10} {
		if got := w.stat(fid); got.Name != "g" {
			s.tb.Errorf("fid %d has the name %q", fid, got.Name)
		}
	}
}

// entries reads an open directory to its end.
func (w *wire) entries(fid ninep.FID, count uint32) []ninep.Stat {
	w.s.tb.Helper()
	var all []ninep.Stat
	for offset := uint64(0); ; {
		data := w.must(&ninep.Tread{Fid: fid, Offset: offset, Count: count}).(*ninep.Rread).Data
		if len(data) == 0 {
			return all
		}
		for offset += uint64(len(data)); len(data) > 0; {
			entry, rest, err := w.s.dialect().NextStat(data)
			w.s.ok(err, "decode an entry")
			all, data = append(all, entry), rest
		}
	}
}

func directoryEntries(s *scope) {
	want := s.fill(s.dir, "entry-", 200)
	w := s.wire()
	w.must(&ninep.Topen{Fid: dirFid})
	for _, count := range []uint32{400, 1000, wireMsize - ninep.IOHeaderSize} {
		var names []string
		for _, entry := range w.entries(dirFid, count) {
			names = append(names, entry.Name)
		}
		if slices.Sort(names); !slices.Equal(names, want) {
			s.tb.Errorf("count %d: %d entries, want %d", count, len(names), len(want))
		}
	}
	second := s.wire()
	for i, entry := range w.entries(dirFid, 1000)[:20] {
		if got := second.stat(second.to(10+ninep.FID(i), entry.Name)); got != entry {
			s.tb.Errorf("entry %+v, stat %+v", entry, got)
		}
	}
}

func directoryOffsets(s *scope) {
	s.fill(s.dir, "entry-", 100)
	w := s.wire()
	w.must(&ninep.Topen{Fid: dirFid})
	read := func(offset uint64) string {
		return string(w.must(&ninep.Tread{Fid: dirFid, Offset: offset, Count: 1000}).(*ninep.Rread).Data)
	}
	first := read(0)
	next := uint64(len(first))
	for _, offset := range []uint64{1, next - 1, next + 1, next + 1000, 1 << 63, 1<<64 - 1} {
		w.refused(&ninep.Tread{Fid: dirFid, Offset: offset, Count: 1000})
	}
	if read(next) == first {
		s.tb.Error("the second part is the first again")
	}
	if read(0) != first {
		s.tb.Error("from the beginning it reads otherwise")
	}
}

func directoryTooSmall(s *scope) {
	s.fill(s.dir, "a-name-of-more-than-ten-bytes-", 3)
	w := s.wire()
	w.must(&ninep.Topen{Fid: dirFid})
	w.refused(&ninep.Tread{Fid: dirFid, Count: 10})
}

func directoryWrite(s *scope) {
	w := s.wire()
	for _, mode := range []uint8{ninep.ClassicWrite, ninep.ClassicRDWR, ninep.ClassicTrunc, ninep.ClassicRClose} {
		w.refused(&ninep.Topen{Fid: dirFid, Mode: mode})
	}
	w.must(&ninep.Topen{Fid: dirFid})
	w.refused(&ninep.Twrite{Fid: dirFid, Data: []byte("x")})
}

func unixIDs(s *scope) {
	s.file("f", "data")
	s.setattr(s.walk(s.dir, "f"), ninep.SetAttr{Valid: ninep.SetUID | ninep.SetGID, UID: 12, GID: 70000})
	w := s.wire()
	if got := w.stat(w.to(9, "f")); got.NUID != 12 || got.NGID != 70000 {
		s.tb.Errorf("%+v", got)
	}
}

func unixSpecials(s *scope) {
	w := s.wire()
	for _, test := range []struct {
		name, extension string
		bit             ninep.StatMode
	}{
		{"link", "../away", ninep.DMSymlink}, {"pipe", "", ninep.DMNamedPipe}, {"socket", "", ninep.DMSocket},
		{"character", "c 1 3", ninep.DMDevice}, {"block", "b 7 0", ninep.DMDevice},
	} {
		w.makeNode(test.name, test.bit|0o600, test.extension)
		got := w.stat(w.to(9, test.name))
		if got.Mode&^0o777 != test.bit || got.Extension != test.extension {
			s.tb.Errorf("%s: %+v", test.name, got)
		}
		w.must(&ninep.Tclunk{Fid: 9})
	}
	s.file("f", "data")
	w.makeNode("hard", ninep.DMLink, strconv.Itoa(int(w.to(9, "f"))))
	s.sameQID(s.walk(s.dir, "hard").QID(), s.walk(s.dir, "f").QID(), "the hard link")
	if got := w.stat(9).Extension; got != "" && got != "HARDLINKCOUNT 2" {
		s.tb.Errorf("a file of two names says %q", got)
	}
}
