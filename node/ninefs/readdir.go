package ninefs

import (
	"context"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/fuse"
)

const (
	// dirBuffer is how many bytes of entries are asked of the server at once.
	dirBuffer = 64 << 10
	// maxDirReply bounds the answer to one READDIR.
	maxDirReply = 64 << 10
)

// Offsets of the entries "." and ".." where the server has none: what follows them is the server's first entry. Cookies are
// opaque, but file systems count, hash to 63 bits or use small numbers: none is known to come here.
const (
	afterDot    = 1<<63 - 3
	afterDotDot = 1<<63 - 2
)

// dirBuffers are for what servers send. One whose call failed does not come back: see [ninep.Fid.Readdir].
var dirBuffers = sync.Pool{New: func() any { return new([dirBuffer]byte) }}

// dirStream is the reading position of an open directory: what the server sent and the kernel has not asked for yet.
type dirStream struct {
	turn   chan struct{}    // whoever has put an element into it reads
	buf    *[dirBuffer]byte // nil while rest is empty: who has read all keeps no memory
	rest   []byte           // of buf
	cookie uint64           // of the entry before rest
	ended  bool             // nothing comes after cookie, and the kernel was not told yet
	dots   bool             // the server sends no "." and ".."
	loaded bool
}

func (fs *FS) opendir(ctx context.Context, r *fuse.Request) error {
	n, err := fs.node(r)
	if err != nil {
		return err
	}
	uid := fs.caller(r)
	var fid *ninep.Fid
	err = fs.onNode(ctx, n, uid, func(f *ninep.Fid) (err error) {
		const flags = unix.O_RDONLY | unix.O_DIRECTORY
		if fid, err = fs.bind(func() (*ninep.Fid, error) { return f.CloneOpen(ctx, flags) }); err != nil {
			return err
		}
		if !fid.IsOpen() {
			err = fid.Open(ctx, flags)
		}
		if err != nil {
			fid.Drop()
		}
		return err
	})
	if err != nil {
		return err
	}
	h := &handle{node: n, fid: fid, flags: unix.O_RDONLY, uid: uid, dir: &dirStream{turn: make(chan struct{}, 1)}}
	if err := fs.handles.add(h); err != nil {
		fid.Drop()
		return err
	}
	r.ReplyOpen(&fuse.OpenOut{Fh: h.id})
	return nil
}

func (fs *FS) readdir(ctx context.Context, r *fuse.Request) error {
	return fs.list(ctx, r, func(b *fuse.DirentBuilder, _ *handle, d fuse.Dirent) bool { return b.Add(d) }, nil)
}

// list answers with as many entries from an offset on as have room. done, if given, completes the answer.
func (fs *FS) list(ctx context.Context, r *fuse.Request, add func(*fuse.DirentBuilder, *handle, fuse.Dirent) bool, done func(*handle)) error {
	in := fuse.In[fuse.ReadIn](r)
	h, err := fs.handleOf(in.Fh)
	if err != nil {
		return err
	}
	if h.dir == nil {
		return unix.ENOTDIR
	}
	if err := h.dir.take(ctx); err != nil {
		return err
	}
	defer h.dir.give()
	b := fuse.NewDirentBuilder(make([]byte, min(in.Size, maxDirReply)))
	for offset := in.Offset; ; {
		d, err := fs.entry(ctx, h, offset)
		if err != nil && len(b.Bytes()) == 0 {
			return err
		}
		if err != nil || d.Name == "" || !add(&b, h, d) {
			break
		}
		h.dir.consume(d)
		offset = d.Off
	}
	if len(b.Bytes()) == 0 {
		h.dir.ended = false // whoever reads on may find more
	}
	if done != nil {
		done(h)
	}
	r.ReplyData(b.Bytes())
	return nil
}

// take waits for the caller's turn with the stream, as long as ctx allows.
func (s *dirStream) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	default:
	}
	ninep.Block(ctx)
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return unix.EINTR
	}
}

func (s *dirStream) give() { <-s.turn }

// entry returns the entry at an offset that an earlier one ended with, or one without a name at the end.
func (fs *FS) entry(ctx context.Context, h *handle, offset uint64) (fuse.Dirent, error) {
	s := h.dir
	if offset == 0 || !s.loaded {
		if err := s.load(ctx, h.fid, 0, offset == 0); err != nil {
			return fuse.Dirent{}, err
		}
	}
	if s.dots && offset == 0 {
		return fuse.Dirent{Ino: h.node.rec.Ino, Off: afterDot, Type: unix.DT_DIR, Name: "."}, nil
	}
	if s.dots && offset == afterDot {
		return fuse.Dirent{Ino: fs.inoAbove(h.node), Off: afterDotDot, Type: unix.DT_DIR, Name: ".."}, nil
	}
	if s.dots && offset == afterDotDot {
		offset = 0
	}
	for {
		if s.cookie == offset && s.ended {
			return fuse.Dirent{}, nil
		}
		if s.cookie != offset || len(s.rest) == 0 {
			if err := s.load(ctx, h.fid, offset, false); err != nil || len(s.rest) == 0 {
				return fuse.Dirent{}, err
			}
		}
		e, rest, err := ninep.NextDirent(s.rest)
		if err != nil {
			return fuse.Dirent{}, err
		}
		if usable(e.Name) {
			return fs.shown(h, e), nil
		}
		s.skip(rest, e.Offset)
		offset = e.Offset
	}
}

// usable reports whether a name from the server can be shown. Others would lead somewhere else, and the kernel takes an answer
// that holds one for broken.
func usable(name string) bool {
	return name != "" && len(name) <= ninep.MaxName && !strings.ContainsAny(name, "/\x00")
}

func (fs *FS) shown(h *handle, e ninep.Dirent) fuse.Dirent {
	d := fuse.Dirent{Ino: e.QID.Path, Off: e.Offset, Type: uint32(e.Type), Name: e.Name}
	switch e.Name {
	case ".":
		d.Ino = h.node.rec.Ino
	case "..":
		d.Ino = fs.inoAbove(h.node)
	}
	return d
}

// inoAbove is the inode number of a directory's "..".
func (fs *FS) inoAbove(n *node) uint64 {
	if dir, _ := fs.tree.where(n); dir != nil {
		return dir.rec.Ino
	}
	return n.rec.Ino
}

// load reads entries that follow a cookie. first: the reading begins, and whether the server sends dots is found out.
func (s *dirStream) load(ctx context.Context, fid *ninep.Fid, cookie uint64, first bool) error {
	s.drop()
	buf := dirBuffers.Get().(*[dirBuffer]byte)
	data, err := fid.Readdir(ctx, cookie, buf[:min(dirBuffer, fid.MaxPayload())])
	if err != nil {
		return err
	}
	s.buf = buf
	if s.cookie, s.ended = cookie, len(data) == 0; s.ended {
		s.drop()
	} else {
		s.rest = data
	}
	if first || !s.loaded {
		s.dots, s.loaded = !hasDots(data), true
	}
	return nil
}

// drop gives up what the server sent.
func (s *dirStream) drop() {
	if s.buf != nil {
		dirBuffers.Put(s.buf)
	}
	s.buf, s.rest = nil, nil
}

// hasDots looks for "." among the first entries that a server sent.
func hasDots(data []byte) bool {
	for len(data) > 0 {
		e, rest, err := ninep.NextDirent(data)
		if err != nil {
			return false
		}
		if e.Name == "." || e.Name == ".." {
			return true
		}
		data = rest
	}
	return false
}

// consume moves the position behind an entry that was answered with.
func (s *dirStream) consume(d fuse.Dirent) {
	if d.Off == afterDot || d.Off == afterDotDot {
		return
	}
	if _, rest, err := ninep.NextDirent(s.rest); err == nil {
		s.skip(rest, d.Off)
	}
}

// skip moves the position to rest.
func (s *dirStream) skip(rest []byte, cookie uint64) {
	if s.rest, s.cookie = rest, cookie; len(rest) == 0 {
		s.drop()
	}
}

// listed are the entries of a READDIRPLUS whose files are to be looked up.
type listed struct {
	names []string
	outs  []*fuse.EntryOut
}

// readdirplus lists entries, with the attributes of those that somebody is likely to want them of. What can't be looked up is
// listed without.
func (fs *FS) readdirplus(ctx context.Context, r *fuse.Request) error {
	var entries listed
	tell := fs.taste.listing(r.NodeID(), fuse.In[fuse.ReadIn](r).Offset)
	add := func(b *fuse.DirentBuilder, _ *handle, d fuse.Dirent) bool {
		out := b.AddPlus(d)
		if out != nil && tell.tells(d) {
			entries.names, entries.outs = append(entries.names, d.Name), append(entries.outs, out)
		}
		return out != nil
	}
	return fs.list(ctx, r, add, func(h *handle) {
		if len(entries.names) > 0 {
			fs.findAll(ctx, h.node, entries, fs.caller(r))
		}
	})
}

// findAll is find for many names, of which it leaves out those that it cannot tell at once.
func (fs *FS) findAll(ctx context.Context, dir *node, entries listed, uid uint32) {
	known := make([]acquaintance, len(entries.names))
	for i, name := range entries.names {
		known[i] = fs.knownAs(dir, name)
	}
	var found []ninep.Found
	// What befell the directory has befallen the first of them, and then there are no others.
	_ = fs.onDir(ctx, dir, uid, func(d *ninep.Fid) error {
		dropFound(found)
		found = d.WalkAttrs(ctx, entries.names)
		return found[0].Err
	})
	for i, f := range found {
		if f.Err != nil {
			continue
		}
		fs.replaceOutdated(known[i], f.Attr)
		if twin := fs.tree.suspect(f.Attr, dir, entries.names[i], nil); twin != nil {
			fs.tree.unhold(twin)
			f.Fid.Drop()
			continue
		}
		if n, err := fs.settle(f.Fid, f.Attr, dir, entries.names[i], uid, nil); err == nil {
			fs.fillEntry(entries.outs[i], n, f.Attr, known[i].epochOf(n))
		}
	}
}

// dropFound gives up what an earlier attempt has found.
func dropFound(found []ninep.Found) {
	for _, f := range found {
		if f.Fid != nil {
			f.Fid.Drop()
		}
	}
}
