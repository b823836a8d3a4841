package ninetest

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
)

// What follows are the requests that every dialect has words of its own for, as rules ask for them.

// tattach attaches the tree as a user.
func (s *scope) tattach(fid ninep.FID, uid uint32) ninep.Message {
	m := &ninep.Tattach{Fid: fid, Afid: ninep.NoFID, Aname: s.server.Aname, UID: uid}
	if s.dialect() == ninep.DialectLegacy {
		m.Uname = strconv.FormatUint(uint64(uid), 10)
	}
	return m
}

// topen opens a file; flags are those of Tlopen.
func (s *scope) topen(fid ninep.FID, flags uint32) ninep.Message {
	if s.dialect() == ninep.DialectL {
		return &ninep.Tlopen{Fid: fid, Flags: flags}
	}
	return &ninep.Topen{Fid: fid, Mode: classicMode(flags)}
}

// tcreate makes a file, which in Plan 9's dialects always is exclusive.
func (s *scope) tcreate(fid ninep.FID, name string, flags, perm uint32) ninep.Message {
	if s.dialect() == ninep.DialectL {
		return &ninep.Tlcreate{Fid: fid, Name: name, Flags: flags, Mode: perm}
	}
	return &ninep.Tcreate{Fid: fid, Name: name, Perm: ninep.StatMode(perm), Mode: classicMode(flags)}
}

func classicMode(flags uint32) uint8 {
	mode := uint8(flags & ninep.OpenAccess)
	if flags&ninep.OpenTrunc != 0 {
		mode |= ninep.ClassicTrunc
	}
	return mode
}

// tstat asks for a file's attributes.
func (s *scope) tstat(fid ninep.FID) ninep.Message {
	if s.dialect() == ninep.DialectL {
		return &ninep.Tgetattr{Fid: fid, Mask: ninep.AttrBasic}
	}
	return &ninep.Tstat{Fid: fid}
}

// tlist reads a directory from its beginning.
func (s *scope) tlist(fid ninep.FID, count uint32) ninep.Message {
	if s.dialect() == ninep.DialectL {
		return &ninep.Treaddir{Fid: fid, Count: count}
	}
	return &ninep.Tread{Fid: fid, Count: count}
}

// tmakes are all ways to make a name.
func (s *scope) tmakes(fid ninep.FID, name string) []ninep.Message {
	all := []ninep.Message{s.tcreate(fid, name, ninep.OpenReadWrite, 0o644)}
	switch s.dialect() {
	case ninep.DialectL:
		return append(all,
			&ninep.Tmkdir{Fid: fid, Name: name, Mode: 0o755},
			&ninep.Tsymlink{Fid: fid, Name: name, Target: "x"},
			&ninep.Tmknod{Fid: fid, Name: name, Mode: unix.S_IFIFO | 0o644})
	case ninep.DialectU:
		all = append(all,
			&ninep.Tcreate{Fid: fid, Name: name, Perm: ninep.DMSymlink, Extension: "x"},
			&ninep.Tcreate{Fid: fid, Name: name, Perm: ninep.DMNamedPipe | 0o644})
	}
	return append(all, &ninep.Tcreate{Fid: fid, Name: name, Perm: ninep.DMDir | 0o755})
}

// tuses are all requests of the dialect that use a fid.
func (s *scope) tuses(fid ninep.FID) []ninep.Message {
	all := append(s.tmakes(fid, "a"),
		s.topen(fid, ninep.OpenReadOnly), s.tstat(fid), s.tlist(fid, 100),
		&ninep.Twalk{Fid: fid, NewFid: 9}, &ninep.Tread{Fid: fid, Count: 10}, &ninep.Twrite{Fid: fid, Data: []byte("x")},
		&ninep.Tclunk{Fid: fid}, &ninep.Tremove{Fid: fid})
	if s.dialect() != ninep.DialectL {
		return append(all, &ninep.Twstat{Fid: fid, Stat: ninep.UntouchedStat()})
	}
	return append(all,
		&ninep.Tstatfs{Fid: fid}, &ninep.Trename{Fid: fid, Dir: dirFid, Name: "a"}, &ninep.Treadlink{Fid: fid},
		&ninep.Tsetattr{Fid: fid}, &ninep.Txattrwalk{Fid: fid, NewFid: 9, Name: "user.a"},
		&ninep.Txattrcreate{Fid: fid, Name: "user.a", Size: 1}, &ninep.Tfsync{Fid: fid}, &ninep.Tlock{Fid: fid},
		&ninep.Tgetlock{Fid: fid}, &ninep.Tlink{Dir: dirFid, Fid: fid, Name: "a"}, &ninep.Tlink{Dir: fid, Fid: dirFid, Name: "a"},
		&ninep.Trenameat{OldDir: fid, OldName: "a", NewDir: dirFid, NewName: "b"},
		&ninep.Trenameat{OldDir: dirFid, OldName: "a", NewDir: fid, NewName: "b"}, &ninep.Tunlinkat{Dir: fid, Name: "a"})
}

// qidOf is the qid in a reply about one file.
func qidOf(m ninep.Message) ninep.QID {
	switch m := m.(type) {
	case *ninep.Rlopen:
		return m.QID
	case *ninep.Ropen:
		return m.QID
	case *ninep.Rlcreate:
		return m.QID
	case *ninep.Rcreate:
		return m.QID
	case *ninep.Rgetattr:
		return m.QID
	case *ninep.Rstat:
		return m.Stat.QID
	}
	return ninep.QID{}
}

// iounitOf is the largest payload that a reply to an open promises; 0: none.
func iounitOf(m ninep.Message) uint32 {
	switch m := m.(type) {
	case *ninep.Rlopen:
		return m.IOUnit
	case *ninep.Ropen:
		return m.IOUnit
	}
	return 0
}

// sizeOf is the file's size in an answer to tstat, false for an error.
func sizeOf(m ninep.Message) (uint64, bool) {
	switch m := m.(type) {
	case *ninep.Rgetattr:
		return m.Size, true
	case *ninep.Rstat:
		return m.Stat.Length, true
	}
	return 0, false
}
