package ninep_test

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/posted"
	"github.com/csi-9p/csi-9p/transport/stream"
)

// plan9 is a server of 9P2000, or 9P2000.u, that keeps to the letter of the manual: Tcreate and renames refuse names that exist, a
// directory is read from its start or from where the last read ended, errors are Plan 9's texts, and 9P2000.u's numbers.
type plan9 struct {
	t       *testing.T
	dialect ninep.Dialect
	// bare connects without the memory being posted ahead.
	bare bool
	// answer, unless nil, may answer in the server's place: nil leaves it to the server.
	answer func(ninep.Message) ninep.Message
	// bytes, unless nil, are sent in place of every answer.
	bytes func(tag uint16) []byte
	// posted, unless nil, sees what the memory for a reply was filled with.
	posted func(head, payload, tail []byte)
	// hangUp has the server go in place of its next answer.
	hangUp bool
	// reconnectTimeout is the session's.
	reconnectTimeout time.Duration

	mu    sync.Mutex
	root  *plan9File
	paths uint64
	conns []net.Conn
	seen  []ninep.Message
}

// plan9File is a file; several names may lead to one.
type plan9File struct {
	stat  ninep.Stat
	data  []byte
	names []plan9Name // of a directory, in the order of making
}

type plan9Name struct {
	name string
	file *plan9File
}

type plan9Fid struct {
	file, dir *plan9File
	name      string
	open      bool
	end       uint64 // of the last read of a directory
}

// plan9Error is an error's text of the manual, and its number.
type plan9Error struct {
	text  string
	errno unix.Errno
}

var (
	errNotFound  = plan9Error{"file does not exist", unix.ENOENT}
	errExists    = plan9Error{"file already exists", unix.EEXIST}
	errNotDir    = plan9Error{"not a directory", unix.ENOTDIR}
	errNotEmpty  = plan9Error{"directory is not empty", unix.ENOTEMPTY}
	errOffset    = plan9Error{"bad offset in directory read", unix.EINVAL}
	errBadFid    = plan9Error{"unknown fid", unix.EBADF}
	errTooSmall  = plan9Error{"read or write too small", unix.EINVAL}
	errNoMessage = plan9Error{"bad message type", unix.EOPNOTSUPP}
)

func newPlan9(t *testing.T, d ninep.Dialect) *plan9 {
	s := &plan9{t: t, dialect: d}
	s.root = s.file(ninep.DMDir | 0o755)
	s.root.stat.Name = "/"
	t.Cleanup(s.cut)
	return s
}

func (s *plan9) file(mode ninep.StatMode) *plan9File {
	s.paths++
	f := &plan9File{stat: ninep.Stat{
		QID: ninep.QID{Type: ninep.QIDType(mode >> 24), Path: s.paths}, Mode: mode, Atime: 1, Mtime: 2,
		UID: "root", GID: "123", MUID: "nobody at all", NUID: ninep.NoUID, NGID: ninep.NoUID, NMUID: ninep.NoUID,
	}}
	if s.dialect == ninep.DialectU {
		f.stat.NUID, f.stat.NGID = 1000, 1001
	}
	return f
}

// dial is a ninep.Config's Dial.
func (s *plan9) dial(context.Context) (transport.Conn, error) {
	near, far := net.Pipe()
	s.mu.Lock()
	s.conns = append(s.conns, far)
	s.mu.Unlock()
	go s.serve(far)
	if s.bare {
		return stream.New(near, stream.Options{Name: "plan9"}), nil
	}
	return posted.New(near, s.posted), nil
}

// cut breaks the connections.
func (s *plan9) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
}

// open opens a session and attaches.
func (s *plan9) open() (*ninep.Session, *ninep.Fid) {
	s.t.Helper()
	session, err := ninep.Open(testContext(s.t), ninep.Config{
		Dial: s.dial, Dialects: []ninep.Dialect{s.dialect}, ReconnectTimeout: s.reconnectTimeout,
	})
	ok(s.t, err)
	s.t.Cleanup(func() { _ = session.Close() })
	root, err := session.Attach(testContext(s.t), ninep.AttachOptions{Aname: "/"})
	ok(s.t, err)
	return session, root
}

func (s *plan9) serve(c net.Conn) {
	defer c.Close()
	fids := map[ninep.FID]*plan9Fid{}
	for {
		b, err := readMessage(c)
		if err != nil {
			return
		}
		tag, m, err := s.dialect.Decode(b)
		if err != nil {
			s.t.Errorf("the client sent %x: %v", b, err)
			return
		}
		reply, gone := s.reply(fids, m)
		if gone {
			return
		}
		s.mu.Lock()
		odd := s.bytes
		s.mu.Unlock()
		answer := frameIn(s.t, s.dialect, tag, reply)
		if odd != nil {
			answer = odd(tag)
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

func (s *plan9) reply(fids map[ninep.FID]*plan9Fid, m ninep.Message) (answer ninep.Message, gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, m)
	if s.answer != nil {
		if r := s.answer(m); r != nil {
			return r, false
		}
	}
	defer func() { gone, s.hangUp = s.hangUp, false }()
	r, e := s.handle(fids, m)
	if e != (plan9Error{}) {
		r = &ninep.Rerror{Ename: e.text}
		if s.dialect == ninep.DialectU {
			r = &ninep.Rerror{Ename: e.text, Errno: uint32(e.errno)}
		}
	}
	return r, false
}

func (s *plan9) handle(fids map[ninep.FID]*plan9Fid, m ninep.Message) (ninep.Message, plan9Error) {
	none := plan9Error{}
	switch m := m.(type) {
	case *ninep.Tversion:
		clear(fids)
		if m.Version != s.dialect.String() {
			return &ninep.Rversion{Msize: m.Msize, Version: "9P2000"}, none
		}
		return &ninep.Rversion{Msize: min(m.Msize, 16<<10), Version: m.Version}, none
	case *ninep.Tattach:
		fids[m.Fid] = &plan9Fid{file: s.root}
		return &ninep.Rattach{QID: s.root.stat.QID}, none
	case *ninep.Tflush:
		return &ninep.Rflush{}, none
	case *ninep.Twalk:
		return s.walk(fids, m)
	case *ninep.Topen:
		return onFid(fids, m.Fid, func(f *plan9Fid) (ninep.Message, plan9Error) {
			f.open, f.end = true, 0
			if m.Mode&ninep.ClassicTrunc != 0 {
				f.file.data = nil
			}
			return &ninep.Ropen{QID: f.file.stat.QID}, none
		})
	case *ninep.Tcreate:
		return onFid(fids, m.Fid, func(f *plan9Fid) (ninep.Message, plan9Error) { return s.create(fids, f, m) })
	case *ninep.Tread:
		return onFid(fids, m.Fid, func(f *plan9Fid) (ninep.Message, plan9Error) { return s.read(f, m) })
	case *ninep.Twrite:
		return onFid(fids, m.Fid, func(f *plan9Fid) (ninep.Message, plan9Error) {
			end := int(m.Offset) + len(m.Data)
			f.file.data = slices.Grow(f.file.data, max(0, end-len(f.file.data)))[:max(end, len(f.file.data))]
			copy(f.file.data[m.Offset:], m.Data)
			return &ninep.Rwrite{Count: uint32(len(m.Data))}, none
		})
	case *ninep.Tclunk:
		delete(fids, m.Fid)
		return &ninep.Rclunk{}, none
	case *ninep.Tremove:
		return onFid(fids, m.Fid, func(f *plan9Fid) (ninep.Message, plan9Error) {
			delete(fids, m.Fid)
			if len(f.file.names) > 0 {
				return nil, errNotEmpty
			}
			f.dir.names = slices.DeleteFunc(f.dir.names, func(n plan9Name) bool { return n.name == f.name })
			return &ninep.Rremove{}, none
		})
	case *ninep.Tstat:
		return onFid(fids, m.Fid, func(f *plan9Fid) (ninep.Message, plan9Error) {
			return &ninep.Rstat{Stat: s.stat(f.file, cmp.Or(f.name, "/"))}, none
		})
	case *ninep.Twstat:
		return onFid(fids, m.Fid, func(f *plan9Fid) (ninep.Message, plan9Error) { return s.wstat(f, m.Stat) })
	}
	return nil, errNoMessage
}

func onFid(fids map[ninep.FID]*plan9Fid, n ninep.FID, do func(*plan9Fid) (ninep.Message, plan9Error)) (ninep.Message, plan9Error) {
	if f := fids[n]; f != nil {
		return do(f)
	}
	return nil, errBadFid
}

func (f *plan9File) lookup(name string) *plan9File {
	for _, n := range f.names {
		if n.name == name {
			return n.file
		}
	}
	return nil
}

func (s *plan9) walk(fids map[ninep.FID]*plan9Fid, m *ninep.Twalk) (ninep.Message, plan9Error) {
	return onFid(fids, m.Fid, func(f *plan9Fid) (ninep.Message, plan9Error) {
		at := *f
		at.open = false
		var r ninep.Rwalk
		for i, name := range m.Names {
			next := at.file.lookup(name)
			if next == nil && i == 0 {
				return nil, errNotFound
			}
			if next == nil {
				return &r, plan9Error{}
			}
			at = plan9Fid{file: next, dir: at.file, name: name}
			r.QIDs = append(r.QIDs, next.stat.QID)
		}
		fids[m.NewFid] = &at
		return &r, plan9Error{}
	})
}

func (s *plan9) create(fids map[ninep.FID]*plan9Fid, f *plan9Fid, m *ninep.Tcreate) (ninep.Message, plan9Error) {
	dir := f.file
	if dir.stat.Mode&ninep.DMDir == 0 {
		return nil, errNotDir
	}
	if dir.lookup(m.Name) != nil {
		return nil, errExists
	}
	made := s.file(m.Perm)
	made.stat.Extension = m.Extension
	if m.Perm&ninep.DMLink != 0 {
		n, err := strconv.ParseUint(strings.TrimSpace(m.Extension), 10, 32)
		target := fids[ninep.FID(n)]
		if err != nil || target == nil {
			return nil, errBadFid
		}
		made = target.file
	}
	dir.names = append(dir.names, plan9Name{m.Name, made})
	*f = plan9Fid{file: made, dir: dir, name: m.Name, open: true}
	return &ninep.Rcreate{QID: made.stat.QID}, plan9Error{}
}

func (s *plan9) read(f *plan9Fid, m *ninep.Tread) (ninep.Message, plan9Error) {
	switch {
	case !f.open:
		return nil, errBadFid
	case f.file.stat.Mode&ninep.DMDir == 0:
		data := f.file.data[min(int(m.Offset), len(f.file.data)):]
		return &ninep.Rread{Data: slices.Clone(data[:min(len(data), int(m.Count))])}, plan9Error{}
	case m.Offset != 0 && m.Offset != f.end:
		return nil, errOffset
	}
	var data []byte
	at := uint64(0)
	for _, n := range f.file.names {
		entry, err := s.dialect.AppendStat(nil, s.stat(n.file, n.name))
		ok(s.t, err)
		if at >= m.Offset {
			if len(data)+len(entry) > int(m.Count) {
				if len(data) == 0 {
					return nil, errTooSmall
				}
				break
			}
			data = append(data, entry...)
		}
		at += uint64(len(entry))
	}
	f.end = m.Offset + uint64(len(data))
	return &ninep.Rread{Data: data}, plan9Error{}
}

// stat is a file's description under one of its names, as the dialect tells it.
func (s *plan9) stat(f *plan9File, name string) ninep.Stat {
	st := f.stat
	st.Name, st.Length = name, uint64(len(f.data))
	if s.dialect == ninep.DialectU && st.Extension == "" {
		st.Extension = fmt.Sprintf("HARDLINKCOUNT %d", s.links(s.root, f))
	}
	return st
}

// links counts the names of a file beneath a directory.
func (s *plan9) links(dir, f *plan9File) (n int) {
	for _, name := range dir.names {
		if name.file == f {
			n++
		}
		n += s.links(name.file, f)
	}
	return n
}

func (s *plan9) wstat(f *plan9Fid, want ninep.Stat) (ninep.Message, plan9Error) {
	untouched := ninep.UntouchedStat()
	if want.Name != "" {
		if f.dir.lookup(want.Name) != nil {
			return nil, errExists
		}
		for i, n := range f.dir.names {
			if n.name == f.name {
				f.dir.names[i].name = want.Name
			}
		}
		f.name = want.Name
	}
	if want.Mode != untouched.Mode {
		const kind = ^(0o777 | ninep.DMSetUID | ninep.DMSetGID | ninep.DMSetVTX)
		if (want.Mode^f.file.stat.Mode)&kind != 0 {
			return nil, plan9Error{"wstat can't convert between files and directories", unix.EPERM}
		}
		f.file.stat.Mode = want.Mode
	}
	if want.Length != untouched.Length {
		f.file.data = slices.Grow(f.file.data, int(want.Length))[:want.Length]
	}
	f.file.stat.Mtime = pick(want.Mtime, f.file.stat.Mtime)
	f.file.stat.Atime = pick(want.Atime, f.file.stat.Atime)
	f.file.stat.NUID = pick(want.NUID, f.file.stat.NUID)
	f.file.stat.NGID = pick(want.NGID, f.file.stat.NGID)
	f.file.stat.UID = cmp.Or(want.UID, f.file.stat.UID)
	f.file.stat.GID = cmp.Or(want.GID, f.file.stat.GID)
	return &ninep.Rwstat{}, plan9Error{}
}

// pick is what a Twstat leaves a number at.
func pick(want, is uint32) uint32 {
	if want == ^uint32(0) {
		return is
	}
	return want
}

// count is how many messages of the type came.
func (s *plan9) count(of ninep.MsgType) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.seen {
		if m.Type() == of {
			n++
		}
	}
	return n
}
