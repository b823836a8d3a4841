package ninetest

import (
	"github.com/csi-9p/csi-9p/ninep"
)

var (
	statfsRules = []rule{
		{"figures-make-sense", statfsFigures},
	}
	fsyncRules = []rule{
		{"file-and-data-only", fsyncFile},
		{"unopened-fid", fsyncUnopened},
	}
)

func statfsFigures(s *scope) {
	s.file("f", "data")
	for _, f := range []*ninep.Fid{s.root, s.dir, s.walk(s.dir, "f")} {
		st, err := f.Statfs(s.ctx)
		s.ok(err, "statfs")
		if st.BlockSize == 0 || st.Blocks == 0 || st.BlocksFree > st.Blocks || st.BlocksAvail > st.BlocksFree ||
			st.FilesFree > st.Files || st.NameLength != ninep.MaxName {
			s.tb.Errorf("%+v", st)
		}
	}
}

func fsyncFile(s *scope) {
	f := s.create("f")
	s.write(f, random(9, 100000), 0)
	for _, dataOnly := range []bool{false, true} {
		s.ok(f.Fsync(s.ctx, dataOnly), "fsync")
	}
	s.ok(s.openFile("f", 0).Fsync(s.ctx, false), "fsync through a read-only fid")
}

// fsyncUnopened: the answer is the server's choice, the connection lives on.
func fsyncUnopened(s *scope) {
	s.file("f", "data")
	_ = s.walk(s.dir, "f").Fsync(s.ctx, false)
	s.content("f", "data")
}
