package ninetest

import (
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

var attachRules = []rule{
	{"root-is-a-directory", attachRoot},
	{"twice-is-the-same-root", attachTwice},
	{"missing-aname-is-refused", attachMissing},
	{"nobody-asked-to-authenticate", attachAuth},
	{"makes-files-of-its-uid", attachOwner},
	{"keeps-other-uids-out", attachOther},
}

func attachRoot(s *scope) {
	if !s.root.QID().IsDir() {
		s.tb.Errorf("the root's qid is %v", s.root.QID())
	}
}

func attachTwice(s *scope) {
	again, err := s.session.Attach(s.ctx, s.attachOptions())
	s.ok(err, "attach again")
	s.keep(again)
	s.sameQID(again.QID(), s.root.QID(), "second attach")
	s.clunk(again)
	s.attr(s.root)
}

func attachMissing(s *scope) {
	o := s.attachOptions()
	o.Aname += "/no/such/tree"
	_, err := s.session.Attach(s.ctx, o)
	s.fails(err, "attach a missing tree", unix.ENOENT, unix.EPERM, unix.EACCES)
	s.attr(s.root)
}

// attachAuth: a server that wants no authentication refuses Tauth (attach(5)).
func attachAuth(s *scope) {
	w := s.wire()
	w.refused(&ninep.Tauth{Afid: 9, Aname: s.server.Aname, UID: s.server.UID})
	w.unbound(9)
}

// asOther attaches the second user and walks to a directory that anyone may write.
func (s *scope) asOther() *ninep.Fid {
	s.tb.Helper()
	s.ok(s.dir.Setattr(s.ctx, ninep.SetAttr{Valid: ninep.SetMode, Mode: 0o777}), "chmod the directory")
	o := s.attachOptions()
	o.UID = s.server.OtherUID
	root, err := s.session.Attach(s.ctx, o)
	s.ok(err, "attach the other user")
	s.keep(root)
	return s.walk(root, s.dirName)
}

func attachOwner(s *scope) {
	dir := s.asOther()
	f := s.walk(dir)
	s.ok(f.Create(s.ctx, "f", unix.O_RDWR, 0o644, s.server.OtherUID), "create")
	for who, dir := range map[uint32]*ninep.Fid{s.server.OtherUID: dir, s.server.UID: s.dir} {
		s.mkdir(dir, "d"+itoa(int(who)))
		if got := s.attrOf("d" + itoa(int(who))).UID; got != who {
			s.tb.Errorf("directory made by %d belongs to %d", who, got)
		}
	}
	if got := s.attrOf("f").UID; got != s.server.OtherUID {
		s.tb.Errorf("file made by %d belongs to %d", s.server.OtherUID, got)
	}
}

func attachOther(s *scope) {
	s.file("private", "secret")
	private := s.walk(s.dir, "private")
	s.ok(private.Setattr(s.ctx, ninep.SetAttr{Valid: ninep.SetMode, Mode: 0o600}), "chmod 600")
	closed := s.mkdir(s.dir, "closed")
	s.ok(closed.Setattr(s.ctx, ninep.SetAttr{Valid: ninep.SetMode, Mode: 0o700}), "chmod 700")
	s.mkdir(closed, "inner")
	dir := s.asOther()

	f := s.walk(dir, "private")
	s.fails(f.Open(s.ctx, unix.O_RDONLY), "open another's private file", unix.EACCES)
	s.fails(f.Setattr(s.ctx, ninep.SetAttr{Valid: ninep.SetMode, Mode: 0o666}), "chmod another's file", unix.EPERM)
	_, err := s.walk(dir, "closed").Walk(s.ctx, "inner")
	s.fails(err, "walk through another's closed directory", unix.EACCES)
	_, err = s.walk(dir, "closed").Mkdir(s.ctx, "mine", 0o755, s.server.OtherUID)
	s.fails(err, "mkdir in another's closed directory", unix.EACCES)
}
