package ninep

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// statReply is an Rstat that does not contradict itself.
type statReply struct{ Rstat }

func (m *statReply) fields(c *codec) {
	m.Rstat.fields(c)
	if c.err == nil && m.Stat.QID.IsDir() != (m.Stat.Mode&DMDir != 0) {
		c.fail("mode %o of a file with qid %v", uint32(m.Stat.Mode), m.Stat.QID)
	}
}

// statOn asks for the description of the fid's file.
func (l *link) statOn(ctx context.Context, f *Fid) (Stat, error) {
	var reply statReply
	_, err := l.exchange(ctx, request{message: &Tstat{Fid: f.number}, reply: &reply, fids: [2]*Fid{f}})
	if err != nil {
		return Stat{}, err
	}
	return reply.Stat, nil
}

func (l *link) getattrClassic(ctx context.Context, r request) error {
	s, err := l.statOn(ctx, r.fids[0])
	if err != nil {
		return err
	}
	r.reply.(*attrReply).Attr = l.dialect.attrOf(&s, &r.fids[0].session.owners)
	return nil
}

// attrOf is what a Stat tells in 9P2000.L's terms. What it does not tell is what other files that tell nothing have: the change
// time is the modification's, and one link, which is also how a directory says that its links are not counted.
func (d Dialect) attrOf(s *Stat, o *owners) Attr {
	mtime := Timespec{Sec: uint64(s.Mtime)}
	a := Attr{
		Valid: AttrBasic,
		QID:   s.QID,
		Mode:  d.unixMode(s),
		UID:   s.NUID,
		GID:   s.NGID,
		Nlink: 1,
		Size:  s.Length,
		// s.Length is the server's word: the sum must not wrap.
		Blocks: s.Length/512 + min(s.Length%512, 1),
		Atime:  Timespec{Sec: uint64(s.Atime)},
		Mtime:  mtime,
		Ctime:  mtime,
	}
	if a.UID == NoUID {
		a.UID = o.number(s.UID, false)
	}
	if a.GID == NoUID {
		a.GID = o.number(s.GID, true)
	}
	switch a.Mode & unix.S_IFMT {
	case unix.S_IFBLK, unix.S_IFCHR:
		a.Rdev = s.device()
	case unix.S_IFLNK:
		a.Size = max(a.Size, uint64(len(s.Extension)))
	case unix.S_IFREG, unix.S_IFDIR:
		if count, ok := strings.CutPrefix(s.Extension, "HARDLINKCOUNT "); ok {
			if links, err := strconv.ParseUint(count, 10, 64); err == nil {
				a.Nlink = links
			}
		}
	}
	return a
}

// device is the number of the device that the extension of a special file tells of.
func (s *Stat) device() uint64 {
	var kind string
	var major, minor uint32
	if n, _ := fmt.Sscanf(s.Extension, "%1s %d %d", &kind, &major, &minor); n != 3 {
		return 0
	}
	return unix.Mkdev(major, minor)
}

// kindBits are the kinds of files in a mode, of 9P2000.u but for the first.
var kindBits = []struct {
	mode StatMode
	unix uint32
}{
	{DMDir, unix.S_IFDIR},
	{DMSymlink, unix.S_IFLNK},
	{DMNamedPipe, unix.S_IFIFO},
	{DMSocket, unix.S_IFSOCK},
	{DMDevice, unix.S_IFCHR},
}

// specialBits are the bits of a mode above the permissions, of 9P2000.u.
var specialBits = []struct {
	mode StatMode
	unix uint32
}{
	{DMSetUID, unix.S_ISUID},
	{DMSetGID, unix.S_ISGID},
	{DMSetVTX, unix.S_ISVTX},
}

// permissions are the bits of a mode that a file's owner may change.
const permissions = 0o777 | DMSetUID | DMSetGID | DMSetVTX

// unixMode is st_mode of a file.
func (d Dialect) unixMode(s *Stat) uint32 {
	mode := uint32(s.Mode) & 0o777
	kind := uint32(unix.S_IFREG)
	if s.Mode&DMDir != 0 {
		kind = unix.S_IFDIR
	}
	if d != DialectU {
		return mode | kind
	}
	for _, b := range kindBits {
		if s.Mode&b.mode != 0 {
			kind = b.unix
			break
		}
	}
	if kind == unix.S_IFCHR && strings.HasPrefix(s.Extension, "b") {
		kind = unix.S_IFBLK
	}
	for _, b := range specialBits {
		if s.Mode&b.mode != 0 {
			mode |= b.unix
		}
	}
	return mode | kind
}

// statMode is what the permission bits of st_mode are in the dialect, and whether it has all of them.
func (d Dialect) statMode(mode uint32) (m StatMode, whole bool) {
	m = StatMode(mode & 0o777)
	if d != DialectU {
		return m, mode&0o7000 == 0
	}
	for _, b := range specialBits {
		if mode&b.unix != 0 {
			m |= b.mode
		}
	}
	return m, true
}

// setattrClassic changes attributes by Twstat.
func (l *link) setattrClassic(ctx context.Context, r request, a *SetAttr) error {
	f := r.fids[0]
	s, err := l.changesOf(ctx, f, a)
	if err != nil || s == UntouchedStat() { // which would be fsync
		return err
	}
	return l.as(ctx, r, &Twstat{Fid: f.number, Stat: s}, nil, nil)
}

// changesOf is what a Twstat says to change a file's attributes. A time is a whole second, and the server's now is this machine's.
func (l *link) changesOf(ctx context.Context, f *Fid, a *SetAttr) (s Stat, err error) {
	s = UntouchedStat()
	if l.dialect == DialectU {
		s.setNumbers(a)
	} else if err := l.setNames(ctx, f, &s, a); err != nil {
		return s, err
	}
	if a.Valid&SetMode != 0 {
		mode, ok := l.dialect.statMode(a.Mode)
		if !ok {
			return s, unix.EOPNOTSUPP
		}
		// A mode says what kind of file it is, too, and must not change that.
		now, err := l.statOn(ctx, f)
		if err != nil {
			return s, err
		}
		s.Mode = now.Mode&^permissions | mode
	}
	if a.Valid&SetSize != 0 {
		s.Length = a.Size
	}
	if a.Valid&SetMtime != 0 {
		s.Mtime = wholeSecond(a.Mtime, a.Valid&SetMtimeGiven != 0)
	}
	return s, nil
}

// setNumbers takes over what 9P2000.u can change and 9P2000 cannot: owners by number, and the access time.
func (s *Stat) setNumbers(a *SetAttr) {
	if a.Valid&SetUID != 0 {
		s.NUID = a.UID
	}
	if a.Valid&SetGID != 0 {
		s.NGID = a.GID
	}
	if a.Valid&SetAtime != 0 {
		s.Atime = wholeSecond(a.Atime, a.Valid&SetAtimeGiven != 0)
	}
}

// setNames takes over a group, which in 9P2000 goes by name. Nobody changes a file's user there, nor its access time (stat(5)):
// that of a pair of times is left to the server, and the user that the file has is no change.
func (l *link) setNames(ctx context.Context, f *Fid, s *Stat, a *SetAttr) error {
	owners := &f.session.owners
	if a.Valid&(SetAtime|SetMtime) == SetAtime {
		return unix.EOPNOTSUPP
	}
	if a.Valid&SetUID != 0 {
		now, err := l.statOn(ctx, f)
		if err != nil {
			return err
		}
		if owners.number(now.UID, false) != a.UID {
			return unix.EOPNOTSUPP
		}
	}
	if a.Valid&SetGID != 0 {
		s.GID = owners.name(a.GID, true)
	}
	return nil
}

// wholeSecond is a time as a Stat has it, the nearest that it can tell.
func wholeSecond(t Timespec, given bool) uint32 {
	if !given {
		return uint32(min(time.Now().Unix(), math.MaxUint32-1))
	}
	sec := int64(t.Sec) // negative before 1970
	return uint32(max(0, min(sec, math.MaxUint32-1)))
}

// readlinkClassic finds a symbolic link's target in its description.
func (l *link) readlinkClassic(ctx context.Context, r request) error {
	s, err := l.statOn(ctx, r.fids[0])
	if err != nil {
		return err
	}
	if l.dialect != DialectU || s.Mode&DMSymlink == 0 {
		return unix.EINVAL // as readlink(2)
	}
	r.reply.(*Rreadlink).Target = s.Extension
	return nil
}
