package ninetest

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

var walkRules = []rule{
	{"no-names-clones", walkClone},
	{"forty-names", walkForty},
	{"partial-leaves-newfid-unbound", walkPartial},
	{"failed-first-name-is-an-error", walkFirst},
	{"onto-itself", walkOnto},
	{"from-an-open-fid-is-refused", walkFromOpen},
	{"symlink-is-not-followed", walkSymlink},
	{"dotdot-goes-up", walkDotDot},
	{"dotdot-stays-in-the-tree", walkEscape},
	{"slash-in-a-name-leads-nowhere", walkSlash},
	{"names-of-any-bytes", walkNames},
}

func walkClone(s *scope) {
	clone := s.walk(s.dir)
	s.sameQID(clone.QID(), s.dir.QID(), "clone")
	s.clunk(clone)
	s.attr(s.dir)
}

// walkForty needs three Twalks.
func walkForty(s *scope) {
	deep, names := s.dir, []string(nil)
	for i := range 40 {
		names = append(names, "level"+itoa(i))
		deep = s.mkdir(deep, names[i])
	}
	s.sameQID(s.walk(s.dir, names...).QID(), deep.QID(), "forty names down")
	_, err := s.dir.Walk(s.ctx, append(names[:39:39], "missing")...)
	s.fails(err, "the fortieth name is missing", unix.ENOENT)
	_, err = s.dir.Walk(s.ctx, append([]string{"missing"}, names[1:]...)...)
	s.fails(err, "the first name is missing", unix.ENOENT)
}

func walkPartial(s *scope) {
	s.mkdir(s.mkdir(s.dir, "a"), "b")
	w := s.wire()
	reply, ok := w.say(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"a", "b", "missing", "c"}}).(*ninep.Rwalk)
	if !ok || len(reply.QIDs) != 2 {
		s.tb.Fatalf("two of four names exist: %+v", reply)
	}
	w.unbound(9)
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"a"}})
}

func walkFirst(s *scope) {
	w := s.wire()
	w.refused(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"missing"}}, unix.ENOENT)
	w.unbound(9)
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9})
}

// walkOnto walks with newfid = fid, which moves the fid, or leaves it where it
// was when a name is missing.
func walkOnto(s *scope) {
	a := s.mkdir(s.dir, "a")
	w := s.wire()
	w.say(&ninep.Twalk{Fid: dirFid, NewFid: dirFid, Names: []string{"a", "missing"}})
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: dirFid, Names: []string{"a"}})
	s.sameQID(qidOf(w.must(s.tstat(dirFid))), a.QID(), "fid walked onto itself")
}

func walkFromOpen(s *scope) {
	w := s.wire()
	w.must(s.topen(dirFid, ninep.OpenReadOnly|ninep.OpenDirectory))
	w.refused(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"."}})
	w.unbound(9)
}

func walkSymlink(s *scope) {
	s.mkdir(s.mkdir(s.dir, "real"), "inner")
	for name, target := range map[string]string{"relative": "real", "absolute": "/", "up": ".."} {
		qid, err := s.dir.Symlink(s.ctx, name, target, s.server.UID)
		s.ok(err, "symlink")
		link := s.walk(s.dir, name)
		s.sameQID(link.QID(), qid, name)
		if link.QID().Type&ninep.QTSymlink == 0 {
			s.tb.Errorf("%s: qid %v is no symbolic link's", name, link.QID())
		}
		for _, below := range []string{"inner", "etc", s.dirName} {
			if f, err := s.dir.Walk(s.ctx, name, below); err == nil {
				s.keep(f)
				s.tb.Errorf("walked through %s -> %s to %s", name, target, below)
			}
		}
	}
}

func walkDotDot(s *scope) {
	a := s.mkdir(s.dir, "a")
	s.mkdir(a, "b")
	w := s.wire()
	w.must(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{"a", "b", ".."}})
	s.sameQID(qidOf(w.must(s.tstat(9))), a.QID(), "a/b/..")
}

// walkEscape: walk(5) has ".." of the root be the root.
func walkEscape(s *scope) {
	w := s.wire()
	up := []string{"..", "..", "..", ".."}
	for _, from := range []ninep.FID{rootFid, dirFid} {
		reply, ok := w.say(&ninep.Twalk{Fid: from, NewFid: 9, Names: up}).(*ninep.Rwalk)
		if !ok || len(reply.QIDs) < len(up) {
			continue
		}
		s.sameQID(reply.QIDs[len(up)-1], s.root.QID(), "above the root")
		w.must(&ninep.Tclunk{Fid: 9})
	}
}

func walkSlash(s *scope) {
	s.mkdir(s.mkdir(s.dir, "a"), "b")
	w := s.wire()
	for _, name := range []string{"a/b", "/", "/etc", "a/", "../" + s.dirName, ""} {
		w.refused(&ninep.Twalk{Fid: dirFid, NewFid: 9, Names: []string{name}})
	}
}

// walkNames makes, lists and finds names of every byte that a name may have.
func walkNames(s *scope) {
	for _, name := range hardNames() {
		s.file(name, name)
	}
	for _, name := range hardNames() {
		s.content(name, name)
	}
	want := sorted(hardNames())
	if got := s.names(s.dir); strings.Join(got, "/") != strings.Join(want, "/") {
		s.tb.Errorf("listed\n%q\nwant\n%q", got, want)
	}
}

// hardNames is names that are hard to carry: long, not UTF-8, special to shells.
func hardNames() []string {
	var all []byte
	for b := 1; b < 256; b++ {
		if b != '/' {
			all = append(all, byte(b))
		}
	}
	return []string{
		string(all[:127]), string(all[127:]), strings.Repeat("x", ninep.MaxName), strings.Repeat("é", 127),
		"\xff\xfe", "...", "..a", ".a", " ", "\n", "\\", "*", "-rf", "a b", "con", "%00", "\x7f", "名前",
	}
}
